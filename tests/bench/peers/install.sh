#!/bin/sh
# install.sh - makes a Python environment with the frameworks that tests/bench/table.lua compares with: the newest
# PyTorch, Keras on TensorFlow, ONNX Runtime and OpenVINO that pip finds. Writes only to DIR (and pip's cache); if DIR
# has some of them, installs the others. A framework that cannot be installed is named and left out of the table.
#
# Usage: sh tests/bench/peers/install.sh DIR
# Needs python3 with venv, and about 8 GB in DIR: PyPI's torch for Linux includes the GPU libraries.
# TORCH_INDEX in the environment: a package index with CPU-only wheels of torch.
set -u
[ $# -eq 1 ] || { echo "usage: $0 DIR" >&2; exit 2; }
directory=$1
python="$directory/bin/python"
[ -x "$python" ] || python3 -m venv "$directory" || exit 1

# The peers load images and weights with these.
"$python" -m pip install --quiet --no-compile numpy pillow h5py safetensors || exit 1

# install NAME MODULE PACKAGE... : the packages, unless the module is there already
install() {
  name=$1 module=$2
  shift 2
  if ! "$python" -c "import $module" 2>/dev/null; then
    echo "installing $name"
    "$python" -m pip install --quiet --no-compile "$@" && "$python" -c "import $module" || {
      echo "left out: $name cannot be installed"
      return
    }
  fi
  "$python" -c "import $module; print('$name', $module.__version__)" 2>/dev/null
}

install "PyTorch" torch ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} torch
install "ONNX" onnx onnx
install "ONNX Runtime" onnxruntime onnxruntime
install "OpenVINO" openvino openvino
install "TensorFlow" tensorflow tensorflow-cpu
install "Keras" keras keras
