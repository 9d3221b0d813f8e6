#!/bin/sh
# FCN-32s, FCN-16s and FCN-8s on generated scenes, each from the one before, and FCN-8s at once; three seeds of each:
#
#     sh docs/results/segmentation.sh runs/segmentation
#
# The last lines are the results. Each is measured on 2,000 test scenes, whose digits and parts of photographs are not
# in the training. Started again, it goes on. bfloat16 takes a third less time on a CPU with AMX.
set -e
out=${1:-runs/segmentation}
for seed in 0 1 2; do
    from=
    for net in fcn32s fcn16s fcn8s; do
        inception-keras train --recipe scenes_$net ${from:+--weights "$from"} --seed $seed --resume \
            --precision mixed_bfloat16 --out "$out/${net}_$seed" --verbose 2
        from=$out/${net}_$seed
    done
    inception-keras train --recipe scenes_fcn8s_atonce --seed $seed --resume --precision mixed_bfloat16 \
        --out "$out/fcn8s_atonce_$seed" --verbose 2
done
for run in "$out"/*; do
    printf '%s: ' "$run"
    inception-keras evaluate "$run" | grep 'mean IoU'
done
