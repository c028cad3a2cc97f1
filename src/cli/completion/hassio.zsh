#compdef hassio ha
# Completion of hassio and ha for zsh. `hassio completion zsh` prints it.
_hassio() {
    local -a found
    found=("${(@f)$("${words[1]}" __complete zsh "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    if [[ ${found[1]} == :files ]]; then
        _files
    elif [[ -n ${found[1]} ]]; then
        _describe -V hassio found
    fi
}
if [[ ${funcstack[1]} == _hassio ]]; then
    _hassio "$@"
else
    compdef _hassio hassio ha
fi
