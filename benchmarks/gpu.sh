#!/usr/bin/env bash
# What a card is worth: tests on it, then seconds, memory and energy beside one core of the same machine. From a bare checkout, without network or root.
#
#   benchmarks/gpu.sh                       at most eight minutes on a data-centre card; writes results/reference/gpu.json
#   SIZE=small OUT=small.json benchmarks/gpu.sh    everything once, small, on whatever there is (CPU too): a rehearsal
#
# PYTHON: the interpreter (default: .venv/bin/python, else python3). It needs torch, numpy, scipy, pandas, scikit-learn, pyarrow and matplotlib of any
# recent version (torch 2.6 or newer); what else is missing is taken from wheels in .whl/, where there are. SECONDS_MAX: stop after so many (default 460). The most
# important comes first, and every measurement is written as soon as it is made.
set -u
cd "$(dirname "$0")/.."
SIZE=${SIZE:-full}
OUT=${OUT:-results/reference/gpu.json}
[ -d "$OUT" ] && OUT=$OUT/gpu.json
SECONDS_MAX=${SECONDS_MAX:-460}
PYTHON=${PYTHON:-$([ -x .venv/bin/python ] && echo .venv/bin/python || echo python3)}
SITE=$(mktemp -d)
trap 'rm -rf "$SITE"' EXIT
if ls .whl/*.whl >/dev/null 2>&1; then
  "$PYTHON" -m pip install -q --no-index --no-deps --target "$SITE" .whl/*.whl || exit 1
fi
export PYTHONPATH="$SITE:$PWD${PYTHONPATH:+:$PYTHONPATH}"
export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1 CUBLAS_WORKSPACE_CONFIG=:4096:8
export TORCH_ALLOW_TF32_CUBLAS_OVERRIDE=0 NVIDIA_TF32_OVERRIDE=0 # ten bits of mantissa are another function
DEVICE=$("$PYTHON" -c 'import torch; print("cuda" if torch.cuda.is_available() else "cpu")') || exit 1
if [ "$DEVICE" = cpu ] && [ "$SIZE" != small ]; then
  echo "gpu.sh: torch sees no card; SIZE=small rehearses on the CPU" >&2
  exit 1
fi
mkdir -p "$(dirname "$OUT")"
TESTS=(tests/gpu tests/unit/test_density_laws.py tests/unit/test_classifier_laws.py)
LIMIT=200 # seconds
[ "$SIZE" = small ] && TESTS=(tests/gpu -k "not maf and not spline") && LIMIT=900 # flows take minutes of a slow core
# not the plugins and strictness of pyproject.toml: versions differ from the pins here
CATHODE_TEST_DEVICE=$DEVICE timeout -s INT -k 10 "$LIMIT" "$PYTHON" -m pytest -q -p no:cacheprovider -o addopts= -o filterwarnings=default "${TESTS[@]}" 2>&1 | tee "$OUT.tests" | tail -n 25
tests=${PIPESTATUS[0]}
"$PYTHON" benchmarks/gpu.py "$OUT" --size "$SIZE" --tests "$OUT.tests" --tests-rc "$tests" --seconds $((SECONDS_MAX - SECONDS))
measured=$?
[ "$SIZE" = small ] && rm -f "$OUT.tests"
[ "$tests" -eq 0 ] && [ "$measured" -eq 0 ]
