# shellcheck shell=bash
# Sourced by run.sh: its command line, read against the table OPTION_TABLE and checked in plain bash.
# Kept to bash 3.2 (macOS): no associative arrays, empty arrays expand as ${a[@]+"${a[@]}"}.
# What finds something leaves it in REPLY: in a subshell, `fail` would end only that.

GIVEN=() VALUES=() # options as the table or conf.yml spells them, and their values
NO_VALUE=$'\n'     # nobody types that

# read_options WORD...: sets the variables that run.sh names where it calls this
read_options() {
  local word name value
  PYTEST=()
  while (($#)); do
    word=$1 && shift
    case $word in
      --) PYTEST=("$@") && break ;;
      -h | --help) show_help && exit ;;
      --*) name=${word%%=*} && name=${name#--} ;;
      -*) unknown_option "$word" ;;
      *) fail "unexpected word '$word': options begin with --, and ./run.sh --help shows them" ;;
    esac
    if find_option "$name"; then name=$OPTION; else KIND=KEY name=${name//-/_}; fi
    if [[ $word == *=* ]]; then
      value=${word#*=}
    elif [[ $KIND == - ]]; then
      value=yes
    elif (($#)) && [[ $1 != --* ]]; then
      value=$1 && shift
    else
      value=$NO_VALUE
    fi
    [[ $KIND == KEY ]] || check_value "$name" "$value"
    note "$name" "$value"
  done
  if given list; then show_recipes && exit; fi
  settle_model
  settle_keys
  settle_test
  settle_stages
  settle_data
  settle_init
  settle_python
}

# find_option NAME: its row of the table, AT its stage; dashes and underscores being the same
find_option() {
  while read -r AT OPTION KIND MEANING; do
    [[ -z $OPTION || ${OPTION//-/_} != "${1//-/_}" ]] || return 0
  done <<<"$OPTION_TABLE"
  return 1
}

# check_value NAME VALUE: is it of the KIND that the table gives?
check_value() {
  local wrong="--$1 expects" found=", found '$2'"
  [[ $KIND != - || $2 == yes ]] || fail "--$1 takes no value$found"
  [[ -n $2 && $2 != "$NO_VALUE" ]] || fail "--$1 needs a value: $KIND, $MEANING"
  case $KIND in
    STAGE)
      name_stages
      [[ $2 =~ ^[0-9]$ && $2 -lt ${#STAGES[@]} ]] ||
        fail "--$1 $2: there is no such stage; the stages are $REPLY"
      ;;
    N) [[ $2 =~ ^[0-9]+$ ]] || fail "$wrong a whole number$found" ;;
    COUNT) [[ $2 =~ ^0*[1-9][0-9]*$ ]] || fail "$wrong a whole number from 1$found" ;;
    PERCENT) [[ $2 =~ ^(100([.]0*)?|[0-9]{1,2}([.][0-9]*)?)$ ]] || fail "$wrong 0 to 100$found" ;;
    WORD) is_word "$2" || fail "$wrong letters, digits and . _ + - only$found" ;;
    *'|'*) [[ "|$KIND|" == *"|$2|"* ]] || fail "$wrong ${KIND//|/ or }$found" ;;
  esac
}

# is_word TEXT: may it be part of a folder's name? The same rule as local/base/experiment.py's
is_word() {
  [[ -n $1 && $1 != .* && ! ${1//[._+-]/} =~ [[:punct:][:space:][:cntrl:]] ]]
}

# name_stages: all of them in one line, in REPLY
name_stages() {
  local i
  REPLY="0 ${STAGES[0]}"
  for ((i = 1; i < ${#STAGES[@]}; i++)); do REPLY+=", $i ${STAGES[i]}"; done
}

# note NAME VALUE: keep what was given
note() {
  if given "$1" && [[ $REPLY != "$2" ]]; then
    fail "--$1 is given twice, as '${REPLY#"$NO_VALUE"}' and as '${2#"$NO_VALUE"}'"
  fi
  GIVEN+=("$1") VALUES+=("$2")
}

# given NAME [DEFAULT]: was it? REPLY is its value, or DEFAULT
given() {
  local i
  for ((i = 0; i < ${#GIVEN[@]}; i++)); do
    if [[ ${GIVEN[i]} == "$1" ]]; then
      REPLY=${VALUES[i]}
      return 0
    fi
  done
  REPLY=${2-}
  return 1
}

# settle_model: MODEL, RECIPE and EXPERIMENT, which every stage from 1 on is told, and FIRST_LOOK,
# whether no model, data or preset is named: then the weights that ship are trained on a little.
settle_model() {
  local names
  FIRST_LOOK=yes
  if given model || given data || given preset; then FIRST_LOOK=''; fi
  REPLY=convtasnet
  [[ -z $FIRST_LOOK ]] || REPLY=$(awk '/^default:/ { gsub(/[][{},:]/, " "); print $2 }' "$ROOT/recipes/shipped.yml")
  given model "$REPLY" || true
  MODEL=$REPLY
  CONF=$ROOT/recipes/$MODEL/conf.yml
  if [[ $MODEL == */* || ! -f $CONF ]]; then
    names=("$ROOT"/recipes/*/conf.yml)
    names=("${names[@]%/conf.yml}")
    nearest "$MODEL" "${names[@]##*/}"
    fail "unknown model '$MODEL'; did you mean '$REPLY'? (./run.sh --list shows all)"
  fi
  RECIPE=(--model="$MODEL")
  if given preset; then
    RECIPE+=(--preset="$REPLY")
  elif [[ -n $FIRST_LOOK ]]; then
    RECIPE+=(--preset=first_look)
  fi
  EXPERIMENT=("${RECIPE[@]}")
  if given tag; then EXPERIMENT+=(--tag="$REPLY"); fi
}

# settle_keys: SETTINGS, the options that are keys of the recipe's conf.yml. A dotted one is
# checked by local/base/config.py; one without a dot must stand at the top level of that file.
settle_keys() {
  local i name
  SETTINGS=()
  for ((i = 0; i < ${#GIVEN[@]}; i++)); do
    name=${GIVEN[i]}
    if find_option "$name"; then continue; fi
    [[ $name == *.* ]] || conf_keys | grep -Fx -- "$name" >/dev/null || unknown_option "--$name"
    [[ ${VALUES[i]} != "$NO_VALUE" ]] || fail "--$name needs a value"
    SETTINGS+=("--$name=${VALUES[i]}")
  done
}

# conf_keys: the dotted keys of the recipe's settings that hold a value
conf_keys() {
  awk '
    /^presets:/ { exit }
    match($0, /^ *[A-Za-z_][A-Za-z_0-9]*:/) {
      key = substr($0, 1, RLENGTH - 1)
      value = substr($0, RLENGTH + 1)
      depth = gsub(/ /, "", key) / 2
      sub(/ *(#.*)?$/, "", value)
      prefix[depth + 1] = prefix[depth] key "."
      if (value != "") print prefix[depth] key
    }' "$ROOT/recipes/common.yml" "$CONF"
}

# unknown_option WORD: end with the nearest right one
unknown_option() {
  local word=$1 key names=()
  [[ -n ${CONF-} ]] || settle_model
  while read -r _ key _; do
    [[ -z $key ]] || names+=("$key")
  done <<<"$OPTION_TABLE"
  while read -r key; do names+=("$key"); done < <(conf_keys)
  while [[ $word == -* ]]; do word=${word#-}; done
  nearest "$word" "${names[@]}"
  fail "unknown option $1; did you mean --$REPLY? (./run.sh --help shows all)"
}

# nearest WORD CANDIDATE...: the one that the fewest edits of a letter lead to, in REPLY;
# of a dotted key its last part is enough (--lr for optim.lr)
nearest() {
  local candidate form least=999
  for candidate in "${@:2}"; do
    for form in "$candidate" "${candidate##*.}"; do
      edits "${1//[-.]/_}" "${form//[-.]/_}"
      if ((DISTANCE < least)); then
        least=$DISTANCE REPLY=$candidate
      fi
      [[ $candidate == *.* ]] || break
    done
  done
}

# edits A B: Levenshtein distance, in DISTANCE, from rows of the table of prefixes' distances
edits() {
  local a=$1 b=$2 i j above=() row=()
  for ((j = 0; j <= ${#b}; j++)); do row[j]=$j; done
  for ((i = 1; i <= ${#a}; i++)); do
    above=("${row[@]}") row=("$i")
    for ((j = 1; j <= ${#b}; j++)); do
      DISTANCE=$((above[j - 1] + 1))
      [[ ${a:i-1:1} != "${b:j-1:1}" ]] || ((DISTANCE -= 1)) || true
      ((DISTANCE <= above[j] + 1)) || DISTANCE=$((above[j] + 1))
      ((DISTANCE <= row[j - 1] + 1)) || DISTANCE=$((row[j - 1] + 1))
      row[j]=$DISTANCE
    done
  done
  DISTANCE=${row[${#b}]}
}

# settle_test: PYTEST and EXTRAS
settle_test() {
  local name
  EXTRAS=()
  if given test; then
    for name in "${GIVEN[@]}"; do
      case $name in
        test | python) ;;
        slow) PYTEST=(--slow ${PYTEST[@]+"${PYTEST[@]}"}) ;;
        *) fail "--$name means nothing with --test; options of pytest stand behind --" ;;
      esac
    done
    while read -r name; do EXTRAS+=("$name"); done < <(extras) # the tests are of every part
    return 0
  fi
  ! given slow || fail "--slow means nothing without --test"
  ((${#PYTEST[@]} == 0)) || fail "words behind -- are for pytest; they mean nothing without --test"
  if is_extra "$MODEL"; then EXTRAS+=("$MODEL"); fi
  if given scheduler; then EXTRAS+=(cluster); fi
}

# settle_stages: FIRST and LAST, and that every option belongs to a stage that runs
settle_stages() {
  local name
  given stage 0 || true
  FIRST=$REPLY
  given stop-stage $((${#STAGES[@]} - 1)) || true
  LAST=$REPLY
  ((FIRST <= LAST)) || fail "--stop-stage $LAST comes before --stage $FIRST: nothing would run"
  for name in ${GIVEN[@]+"${GIVEN[@]}"}; do
    find_option "$name" || AT=1 # training takes the keys of conf.yml
    [[ $AT == - ]] || ((AT >= FIRST && AT <= LAST)) ||
      fail "--$name is for stage $AT (${STAGES[AT]}), and only stages $FIRST to $LAST run"
  done
}

# settle_data: DATA, NAME. From stage 1 on, without either option, the stages find the data
# set of the one experiment that fits.
settle_data() {
  DATA='' NAME=''
  if given data; then
    [[ -d $REPLY ]] || fail "--data $REPLY: there is no such folder"
    DATA=$(cd -- "$REPLY" && pwd) || fail "--data $REPLY: cannot be entered"
  elif ((FIRST == 0)); then
    DATA=$ROOT/egs_data
  fi
  if given name; then
    NAME=$REPLY
  elif [[ -n $DATA ]]; then
    NAME=${DATA##*/}
    is_word "$NAME" ||
      fail "--data $DATA: '$NAME' cannot name a data set (letters, digits and . _ + - only); add --name"
  fi
  if [[ -n $NAME ]]; then EXPERIMENT+=(--name="$NAME"); fi
}

# settle_init: a file or folder that --init names is seen from the checkout. A recipe goes before
# one of its name, as with winnow --model. A first look starts from what ships.
settle_init() {
  local i
  if [[ -n $FIRST_LOOK ]] && ! given init; then GIVEN+=(init) VALUES+=("$MODEL"); fi
  for ((i = 0; i < ${#GIVEN[@]}; i++)); do
    [[ ${GIVEN[i]} == init && ! -f $ROOT/recipes/${VALUES[i]}/conf.yml ]] || continue
    [[ ${VALUES[i]} == /* || ! -e ${VALUES[i]} ]] || VALUES[i]=$PWD/${VALUES[i]}
    VALUES[i]=${VALUES[i]#"$ROOT/"}
  done
}

# settle_python: PYTHON, if one was named
settle_python() {
  PYTHON=''
  given python || return 0
  PYTHON=$(command -v -- "$REPLY") || fail "--python $REPLY: there is no such program"
  if [[ $PYTHON == */* && $PYTHON != /* ]]; then PYTHON=$PWD/$PYTHON; fi
}

# check_settings: what can only be checked with Python's packages. NAME, where neither --data nor
# --name told it, for the one stage that is not told of an experiment: the data set of the
# experiment that the stages before work on
check_settings() {
  local words=("${EXPERIMENT[@]}" ${SETTINGS[@]+"${SETTINGS[@]}"}) found
  if ((FIRST <= 1 && LAST >= 1)); then words+=(--train); fi
  if ((FIRST > 0)) && [[ -n $DATA ]]; then words+=(--data="$DATA"); fi
  if given metrics; then words+=(--metrics="$REPLY"); fi
  # alone, local/compare.py takes the only data set
  if ((LAST == 4)) && [[ -z $NAME ]] && { ((FIRST < 4)) || given model; }; then
    words+=(--find="$FIRST")
  fi
  found=$("$PYTHON" -m local.check "${words[@]}") || exit
  [[ -n $NAME ]] || NAME=$found
}

# stage_arguments NUMBER: what was given of that stage's options, in ARGUMENTS
stage_arguments() {
  local i
  ARGUMENTS=()
  for ((i = 0; i < ${#GIVEN[@]}; i++)); do
    if ! find_option "${GIVEN[i]}" || [[ $AT != "$1" ]]; then continue; fi
    [[ $KIND == - ]] && ARGUMENTS+=("--$OPTION") || ARGUMENTS+=("--$OPTION=${VALUES[i]}")
  done
}

# show_recipes: one line each, the first comment of their conf.yml
show_recipes() {
  local file name line
  for file in "$ROOT"/recipes/*/conf.yml; do
    name=${file%/conf.yml}
    read -r line <"$file"
    printf '%-16s %s\n' "${name##*/}" "${line#\# }"
  done
}

show_help() {
  local number option kind meaning
  name_stages
  cat <<END
./run.sh                                     a first look: the weights that ship, embedded data, a report
./run.sh --model NAME --data DIR             all stages on a tree of triplets
./run.sh --stage 2 --model NAME              only evaluation and what comes after
./run.sh --model NAME --optim.lr 3e-4        any key of recipes/NAME/conf.yml by its dotted name
./run.sh --test                              the test suite

Stages: $REPLY.

END
  while read -r number option kind meaning; do
    [[ -n $number ]] || continue
    [[ $number == - ]] && number='' || number="stage $number: "
    printf '  %-28s %s\n' "--$option ${kind#-}" "$number$meaning"
  done <<<"$OPTION_TABLE"
}
