#!/bin/sh
# Detectors on generated scenes, three seeds of each: Fast R-CNN, Faster R-CNN trained jointly and in the paper's four
# steps, YOLO v1, R-CNN and SPPnet:
#
#     sh docs/results/detection.sh runs/detection
#
# The last lines are the results. Each is measured on 1,000 test scenes, whose digits and parts of photographs are not in
# the training. Started again, it goes on. bfloat16 takes less time on a CPU with AMX.
set -e
out=${1:-runs/detection}
train() {
    name=$1
    shift
    inception-keras train --recipe "scenes_$name" --seed "$seed" --resume --precision mixed_bfloat16 \
        --out "$out/${name}_$seed" --verbose 2 "$@"
}
for seed in 0 1 2; do
    train fast_rcnn
    train faster_rcnn
    train yolo
    train faster_rcnn_1_rpn
    train faster_rcnn_2_head --task-option proposals="$out/faster_rcnn_1_rpn_$seed"
    train faster_rcnn_3_rpn --weights "$out/faster_rcnn_2_head_$seed"
    train faster_rcnn_4_head --weights "$out/faster_rcnn_3_rpn_$seed"
done
for run in "$out"/fast_rcnn_? "$out"/faster_rcnn_? "$out"/yolo_? "$out"/faster_rcnn_[24]_head_?; do
    printf '%s: ' "$run"
    inception-keras evaluate "$run" | grep 'mAP'
done
for seed in 0 1 2; do
    python docs/results/detection.py --seed $seed
done
