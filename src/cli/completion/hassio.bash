# Completion of hassio and ha for bash. `hassio completion bash` prints it.
_hassio() {
    local words=("${COMP_WORDS[@]:1:COMP_CWORD}")
    COMPREPLY=()
    mapfile -t COMPREPLY < <("${COMP_WORDS[0]}" __complete bash "${words[@]}" 2>/dev/null)
    if [[ ${COMPREPLY[0]-} == :files ]]; then
        COMPREPLY=()
        compopt -o default 2>/dev/null
    elif [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *= ]]; then
        compopt -o nospace 2>/dev/null
    fi
    return 0
}
complete -F _hassio hassio ha
