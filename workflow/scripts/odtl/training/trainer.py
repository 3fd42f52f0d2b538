"""official.vision's trainer, made to start faster, to take its data from `inputs` and to tell of each step."""

from odtl.checkpoints import build_model_of
from odtl.training.examples import Examples
from odtl.training.freezing import freeze_first
from odtl.training.inputs import build_inputs
from odtl.training.options import Options
from odtl.training.watching import merged, report_of


def make_trainer(config, options: Options, evaluates: bool, skipped: int = 0):
    """Return the trainer of an ExperimentConfig, with its model and optimizer; call it in the strategy's scope.

    evaluates: whether there are validation images to evaluate on.
    skipped:   how many steps' training batches to leave out at first.
    What its last call of `train` did is in its `reports`, one for each step (see `watching.report_of`). Evaluations
    show what they find to its `examples`, if it is given some.
    """
    from official.core import task_factory, train_utils

    task = task_factory.get_task(config.task)
    model = build_model_of(task)
    if isinstance(options.freeze, int):
        freeze_first(model, options.freeze)
    optimizer = train_utils.create_optimizer(task, config)
    trainer = _trainer_class(options, skipped)(
        config, task, model=model, optimizer=optimizer, train=True, evaluate=evaluates
    )
    # A graph that makes variables while it is traced is traced a second time.
    if hasattr(trainer.optimizer, "_create_all_weights"):
        trainer.optimizer._create_all_weights(trainer.model.trainable_variables)
    return trainer


def _trainer_class(options: Options, skipped: int):
    """Return official.vision's trainer, made to start faster and to tell of each step.

    AutoGraph rewrites the source of every function that a graph is traced from, which takes longer than all the rest,
    and detectors hardly need it: so each step is traced as it is first, and rewritten only if it turns out to branch on
    a tensor.
    """
    import orbit
    import tensorflow as tf
    from official.core import base_trainer

    class Trainer(base_trainer.Trainer):
        examples: Examples | None = None

        def distribute_dataset(self, build, params):
            # Ours takes the place of the task's own function.
            def ours(params, input_context=None):
                batches = build_inputs(self.task, params, options, input_context)
                # A batch for each device of this process in each step.
                devices = self.strategy.num_replicas_in_sync // options.workers
                return batches.skip(skipped * devices) if params.is_training and skipped else batches

            distribute = super().distribute_dataset
            try:
                return tf.autograph.experimental.do_not_convert(distribute)(ours, params)
            except tf.errors.OperatorNotAllowedInGraphError:
                return distribute(ours, params)

        def training_batches(self):
            """Return the training data from their start, beside those that the steps take."""
            return build_inputs(self.task, self.config.task.train_data, options)

        def train_step(self, iterator):
            reports = self.strategy.run(self._step, args=(self.next_train_inputs(iterator),))
            return merged(reports, self.strategy) if self.strategy.num_replicas_in_sync > 1 else reports

        def _step(self, inputs):
            parts = {"model": self.model, "optimizer": self.optimizer, "metrics": self.train_metrics}
            loss = self.task.train_step(inputs, **parts)[self.task.loss]
            self.train_loss.update_state(loss)
            self.global_step.assign_add(1)
            return report_of(loss, inputs[1], self.model)

        def create_train_loop_fn(self):
            loop = orbit.utils.create_loop_fn(_Traced(self.train_step))

            def run(iterator, steps):
                # Appending does not wait for what a step computes.
                self.reports = []
                loop(iterator, steps, state=self.reports, reduce_fn=lambda all, new: all.append(new) or all)

            return run

        def eval_step(self, iterator):
            if self.strategy.num_replicas_in_sync == 1:
                return super().eval_step(iterator)
            (images, labels), others = self.next_eval_inputs(iterator)
            outputs = self.strategy.run(self._score, args=(images, labels))
            return {**others, **tf.nest.map_structure(self.strategy.experimental_local_results, outputs)}

        def _score(self, images, labels):
            # Of the last batches there may be fewer than devices: the others get one without images.
            counts = tf.cast(tf.shape(images)[0] > 0, tf.float32)
            metrics = [_Counted(metric, counts) for metric in self.validation_metrics]
            logs = self.task.validation_step((images, labels), model=self.model, metrics=metrics)
            if self.task.loss in logs:
                self.validation_loss.update_state(logs[self.task.loss], sample_weight=counts)
            return logs

        def eval_reduce(self, state=None, step_outputs=None):
            if self.examples:
                self.examples.look(step_outputs)
            return super().eval_reduce(state, step_outputs)

        def create_eval_loop_fn(self, has_state: bool):
            return orbit.utils.create_loop_fn(_Traced(self.eval_step))

    return Trainer


class _Counted:
    """A metric of a device's batch that counts, or does not."""

    def __init__(self, metric, counts) -> None:
        self._metric, self._counts = metric, counts

    def update_state(self, *values):
        return self._metric.update_state(*values, sample_weight=self._counts)

    def __getattr__(self, name: str):
        return getattr(self._metric, name)


class _Traced:
    """A step as a graph: without AutoGraph where its code allows that, with it otherwise."""

    def __init__(self, step) -> None:
        import tensorflow as tf

        self._step = step
        self._graph = tf.function(step, autograph=False)

    def __call__(self, *args):
        import tensorflow as tf

        try:
            return self._graph(*args)
        except tf.errors.OperatorNotAllowedInGraphError:
            self._graph = tf.function(self._step)
            return self._graph(*args)
