#!/bin/sh
# Builds the check programs with sanitizers and runs them: sh native/tests/run.sh [FOLDER WITH cmake AND ninja]
set -eu
cd "$(dirname "$0")/.."
tools=${1:+$(cd "../$1" && pwd)/}
echo "== native-check: cmake, ctest"
mkdir -p build/checks
if ! {
  "${tools}cmake" -S . -B build/checks -G Ninja -DCMAKE_MAKE_PROGRAM="$(command -v "${tools}ninja")" \
    -DATTENTO_CHECKS=ON -DATTENTO_SANITIZE=ON -DATTENTO_EMULATE_AMX=ON &&
    "${tools}cmake" --build build/checks
} >build/checks.log 2>&1; then
  tail -30 build/checks.log
  exit 1
fi
exec "${tools}ctest" --test-dir build/checks --output-on-failure
