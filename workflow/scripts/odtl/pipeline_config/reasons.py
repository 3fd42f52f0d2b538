"""What becomes of the settings that are not translated, and why."""

import re

from odtl.pipeline_config.translation import Fate

_PARTS = "The pretrained weights were made with their own; those of the zoo's model stay"
_BALANCE = "Belongs to the losses of that API. The model's own are used, and balanced for it"
_AUGMENTATION = "There is no such augmentation"
_MATCHING = "Which anchors count as an object is decided as the model was trained (task.train_data.parser)"
_READING = "Reading is arranged from the data"
_BOXES = "There are boxes here, no masks, keypoints or tracks"
_CLUSTER = "One machine trains; there are no replicas to wait for"
_DRAWING = "Boxes are drawn as the keys under `detect` in the configuration say"

# Pattern of the path (of the whole of it, `*` for anything), what becomes of it, why. The first that fits counts.
REASONS: tuple[tuple[str, Fate, str], ...] = (
    # The model.
    ("model.*.num_classes", Fate.NEEDLESS, "The classes are those of the data (results/dataset/label_map.pbtxt)"),
    ("model.*.add_background_class", Fate.NEEDLESS, "The background is class 0, always"),
    ("model.*.encode_background_as_zeros", Fate.NEEDLESS, "The background is class 0, always"),
    ("model.*.image_resizer.*.pad_to_max_dimension", Fate.NEEDLESS, "Images are padded to a square, always"),
    ("model.*.image_resizer.*.resize_method", Fate.OTHERWISE, "Images are resized bilinearly"),
    ("model.*.image_resizer.*.convert_to_grayscale", Fate.NONE, "Images have three channels"),
    (
        "model.*.image_resizer*",
        Fate.OTHERWISE,
        "Images keep their proportions and are padded to a square: `image_size`",
    ),
    ("model.*.feature_extractor.type", Fate.OTHERWISE, "The backbone is that of the experiment's `model`"),
    ("model.*.depth_multiplier", Fate.OTHERWISE, "The width is that of the experiment's `model`"),
    ("model.*.use_dropout", Fate.NONE, "The detectors have no dropout"),
    ("model.*.dropout_keep_probability", Fate.NONE, "The detectors have no dropout"),
    ("model.*.batch_norm.decay", Fate.OTHERWISE, "It follows from train_steps, so that statistics forget their start"),
    ("model.*.l1_regularizer*", Fate.NONE, "Weights are regularised by their squares (task.losses.l2_weight_decay)"),
    ("model.*.anchor_generator.*", Fate.OTHERWISE, f"{_PARTS} (overrides.task.model.anchor changes them)"),
    ("model.*_anchor_generator.*", Fate.OTHERWISE, f"{_PARTS} (overrides.task.model.anchor changes them)"),
    ("model.*.hard_example_miner*", Fate.NONE, "Focal loss, or sampling in Faster R-CNN, does that work"),
    ("model.*.loss.*", Fate.OTHERWISE, _BALANCE),
    ("model.*_loss_weight", Fate.OTHERWISE, _BALANCE),
    ("model.*second_stage_classification_loss.*", Fate.OTHERWISE, _BALANCE),
    ("model.*.normalize_lo*", Fate.OTHERWISE, _BALANCE),
    ("model.*.negative_class_weight", Fate.OTHERWISE, _BALANCE),
    ("model.*.matcher.*", Fate.OTHERWISE, _MATCHING),
    ("model.*.similarity_calculator.*", Fate.OTHERWISE, _MATCHING),
    ("model.*.target_assigner.*", Fate.OTHERWISE, _MATCHING),
    ("model.*.box_coder.*", Fate.OTHERWISE, _BALANCE),
    ("model.*.max_detections_per_class", Fate.NONE, "Detections are limited in all, not for each class"),
    (
        "model.*post_processing.batch_non_max_suppression.*",
        Fate.OTHERWISE,
        "Non-maximum suppression is the model's own",
    ),
    (
        "model.*post_processing.*",
        Fate.OTHERWISE,
        "Scores are the model's own: sigmoids in RetinaNet, softmax in Faster R-CNN",
    ),
    ("model.*.predict_instance_masks", Fate.NONE, _BOXES),
    ("model.*mask*_height", Fate.NONE, _BOXES),
    ("model.*mask*_width", Fate.NONE, _BOXES),
    ("model.*.mask_rcnn_box_predictor.mask*", Fate.NONE, _BOXES),
    ("model.*.predict_keypoints", Fate.NONE, _BOXES),
    ("model.*keypoint*", Fate.NONE, _BOXES),
    ("model.*mask_prediction*", Fate.NONE, _BOXES),
    ("model.*.number_of_stages", Fate.OTHERWISE, "The stages are those of the experiment's `model`"),
    ("model.*first_stage_*", Fate.OTHERWISE, f"First stage, of Faster R-CNN. {_PARTS}"),
    ("model.*second_stage_*", Fate.OTHERWISE, f"Second stage, of Faster R-CNN. {_PARTS}"),
    ("model.*use_static*", Fate.NEEDLESS, "Made for TPUs"),
    ("model.*matmul*", Fate.NEEDLESS, "Made for TPUs"),
    ("model.*inplace_batchnorm_update", Fate.NEEDLESS, "Made for TPUs"),
    ("model.*", Fate.OTHERWISE, f"A part of the network. {_PARTS}"),
    # The training.
    ("train_config.fine_tune_checkpoint", Fate.OTHERWISE, "Weights of that API have other names: the zoo's are taken"),
    ("train_config.fine_tune_checkpoint_*", Fate.NEEDLESS, "The zoo's model says what its weights give (`restore`)"),
    ("train_config.from_detection_checkpoint", Fate.NEEDLESS, "The zoo's model says what its weights give (`restore`)"),
    ("train_config.load_all_*", Fate.NEEDLESS, "All that fits is taken, and told"),
    ("train_config.data_augmentation_options.normalize_image*", Fate.NEEDLESS, "The model normalises"),
    ("train_config.data_augmentation_options.subtract_channel_mean*", Fate.NEEDLESS, "The model normalises"),
    ("train_config.data_augmentation_options.resize_image*", Fate.NEEDLESS, "Images are resized to `image_size`"),
    ("train_config.data_augmentation_options.scale_boxes*", Fate.NEEDLESS, "Boxes are scaled with the image"),
    ("train_config.data_augmentation_options.remap_labels*", Fate.YOURS, "`labels.aliases` renames classes"),
    ("train_config.data_augmentation_options.*", Fate.NONE, _AUGMENTATION),
    ("train_config.sync_replicas", Fate.NEEDLESS, _CLUSTER),
    ("train_config.replicas_to_aggregate", Fate.NEEDLESS, _CLUSTER),
    ("train_config.startup_delay_steps", Fate.NEEDLESS, _CLUSTER),
    ("train_config.*queue*", Fate.NEEDLESS, _READING),
    ("train_config.max_number_of_boxes", Fate.NEEDLESS, "As many as any image has"),
    ("train_config.unpad_groundtruth_tensors", Fate.NEEDLESS, "Made for TPUs"),
    ("train_config.use_bfloat16", Fate.OTHERWISE, "`mixed_precision` says what to calculate in"),
    ("train_config.keep_checkpoint_every_n_hours", Fate.OTHERWISE, "The last two and the best one are kept"),
    ("train_config.optimizer.*use_moving_average", Fate.NEEDLESS, "There are no averages of the weights (`ema`)"),
    ("train_config.optimizer.*", Fate.NONE, "The optimisers here have no such setting"),
    ("train_config.add_regularization_loss", Fate.NEEDLESS, "Regularisation is a part of the loss"),
    ("train_config.bias_grad_multiplier", Fate.NONE, "Biases learn as the other weights do"),
    ("train_config.update_trainable_variables", Fate.NONE, "`freeze` says what is not trained"),
    ("train_config.merge_multiple_label_boxes", Fate.NONE, "Each box has one class"),
    ("train_config.summarize_gradients", Fate.NONE, "Losses, learning rate and AP are written for TensorBoard"),
    # The data.
    ("*_input_reader.tf_record_input_reader.input_path", Fate.YOURS, "A source in `data.sources`, of format tfrecord"),
    ("*_input_reader.label_map_path", Fate.YOURS, "To keep its ids, name the classes in that order: `labels.classes`"),
    ("*_input_reader.*mask*", Fate.NONE, _BOXES),
    ("*_input_reader.*keypoint*", Fate.NONE, _BOXES),
    ("*_input_reader.*dense_pose", Fate.NONE, _BOXES),
    ("*_input_reader.*track*", Fate.NONE, _BOXES),
    (
        "*_input_reader.sample_1_of_n_examples",
        Fate.OTHERWISE,
        "All images are used; `data.sources` says which there are",
    ),
    ("*_input_reader.num_additional_channels", Fate.NONE, "Images have three channels"),
    ("*_input_reader.load_multiclass_scores", Fate.NONE, "Each box has one class"),
    ("*_input_reader.load_context_features", Fate.NONE, "There is no Context R-CNN"),
    ("*_input_reader.input_type", Fate.OTHERWISE, "Records hold one image each (tf.train.Example)"),
    ("*_input_reader.external_input_reader*", Fate.YOURS, "A source of data: see docs/formats"),
    ("*_input_reader.*", Fate.NEEDLESS, _READING),
    # The evaluation.
    ("eval_config.metrics_set", Fate.OTHERWISE, "COCO's metrics, AP50 (PASCAL VOC's) and AP by class, always"),
    ("eval_config.include_metrics_per_category", Fate.NEEDLESS, "AP by class is told, always"),
    ("eval_config.num_examples", Fate.NEEDLESS, "All images are evaluated"),
    ("eval_config.max_evals", Fate.NEEDLESS, "`validation_interval` says when to evaluate"),
    ("eval_config.eval_interval_secs", Fate.OTHERWISE, "`validation_interval` says when to evaluate, in steps"),
    ("eval_config.batch_size", Fate.NEEDLESS, "It changes no result"),
    ("eval_config.min_score_threshold", Fate.YOURS, "`detect.score_threshold` is the one for drawings"),
    ("eval_config.*visualiz*", Fate.OTHERWISE, _DRAWING),
    ("eval_config.skip_*", Fate.OTHERWISE, _DRAWING),
    ("eval_config.*original_image*", Fate.OTHERWISE, _DRAWING),
    ("eval_config.*recall*", Fate.NONE, "Precision is averaged over all recalls"),
    ("eval_config.export_path", Fate.OTHERWISE, "Detections are in results/{experiment}/detections/detections.csv"),
    ("eval_config.*", Fate.NONE, "The evaluation has no such setting"),
    ("graph_rewriter.*", Fate.NONE, "There is no training for quantised weights"),
    ("[*", Fate.NONE, "An extension of that API, for code of one's own"),
)
_PATTERNS = tuple((re.compile(re.escape(pattern).replace(r"\*", ".*")), fate, why) for pattern, fate, why in REASONS)


def reason_for(path: str) -> tuple[Fate, str]:
    """Return what becomes of a setting that is not translated, and why."""
    for pattern, fate, why in _PATTERNS:
        if pattern.fullmatch(path):
            return fate, f"{why}."
    return Fate.NONE, "It is not known what this is: nothing is made of it."
