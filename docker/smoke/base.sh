# Raw pictures to examples. Run in the base image, in a folder that the other images find, too.
test "$(id -u)" -ne 0
for tool in cc gcc g++ make git uv; do ! command -v "$tool"; done
angiopipe --help >help.txt && test -s help.txt
python3 - <<'PYTHON'
import importlib.util

import apache_beam.runners.worker.worker_pool_main, gcsfs, kfp.dsl.executor_main, kubernetes, s3fs

assert importlib.util.find_spec("tensorflow") is None and importlib.util.find_spec("mlflow") is None
PYTHON
angiopipe synthesize --studies 24 --size 96 --difficulty easy --processes 1 cohort
angiopipe validate --images cohort/train_set/images --labels cohort/train_set/train.csv --out inventory --data-root data
angiopipe ingest --inventory inventory --out studies --data-root data
angiopipe preprocess --studies studies --out examples --data-root data --overrides preprocessing.size=32
