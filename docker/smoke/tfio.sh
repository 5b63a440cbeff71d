# The audit through tensorflow-io. Run in its image, where the base image's smoke has run.
test "$(id -u)" -ne 0
for tool in cc gcc g++ make git uv; do ! command -v "$tool"; done
python3 -c "import os, s3fs, tensorflow_io as io; assert io.experimental; os._exit(0)"
angiopipe audit --studies studies --out audit-by-tfio --data-root data
