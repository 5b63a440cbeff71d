# Examples to a champion. Run in the train image, where the base image's smoke has run.
test "$(id -u)" -ne 0
for tool in cc gcc g++ make git uv; do ! command -v "$tool"; done
python3 -c "import kfp.dsl.executor_main, kubernetes"
angiopipe audit --studies studies --out audit --data-root data
angiopipe train --examples examples --out model --data-root data --overrides preprocessing.size=32 training.epochs=1
angiopipe evaluate --examples examples --model model --out evaluation --report report.html --data-root data
angiopipe register --model model --evaluation evaluation --out registration --data-root data
angiopipe promote --registration registration --evaluation evaluation --studies studies --out promotion --data-root data
