#!/usr/bin/env bash
# winnow: separate one's own recordings. `./separate.sh noisy.wav` makes the environment where
# there is none, as run.sh does, then writes noisy_voice.wav and noisy_noise.wav beside it.
# `./separate.sh --help` shows all that goes behind it.
set -euo pipefail
unset CDPATH # it would make cd print and wander
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
PYTHON='' EXTRAS=()

# shellcheck source=local/shell/environment.sh
source "$ROOT/local/shell/environment.sh"

# extras_of WORD...: what the recipes that --model names and the programs `export` and `score` need,
# in EXTRAS
extras_of() {
  local word name names before=
  if [[ ${1-} == export ]] && is_extra export; then EXTRAS+=(export); fi
  if [[ ${1-} == score ]] && is_extra dnsmos; then EXTRAS+=(dnsmos); fi
  for word; do
    name=
    case $before$word in
      --model=*) name=${word#--model=} ;;
      --model*) [[ -z $before ]] || name=$word ;;
    esac
    if [[ $word == --model ]]; then before=--model; else before=; fi
    IFS=, read -r -a names <<<"$name" # several, whose mean is taken
    for name in ${names[@]+"${names[@]}"}; do
      if is_extra "$name"; then EXTRAS+=("$name"); fi
    done
  done
}

# answer_help WORD...: the help of the program, which needs no packages, nor an environment
answer_help() {
  local word
  case ${1-} in export | score) return ;; esac
  for word; do
    case $word in
      --) return ;; # what follows are names
      -h | --help) find_python && PYTHONPATH=$ROOT exec "$BASE" -P -m local.separate --help ;;
    esac
  done
}

FROM=$PWD
cd "$ROOT"
answer_help "$@"
extras_of "$@"
environment # PYTHON
cd "$FROM"
# -P: a folder named `local` where the user stands is not ours
PYTHONPATH=$ROOT exec "$ROOT/$PYTHON" -P -m local.separate "$@"
