"""The data set in the forms of other tools: COCO, Pascal VOC, YOLO, CSV, with the images as the boxes have them."""
