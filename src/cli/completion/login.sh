# For interactive login shells: completion of hassio and ha, and what there is to know. Others get nothing.
case $- in
    *i*)
        if [ -n "${BASH_VERSION-}" ] && [ -r /usr/share/bash-completion/completions/hassio ]; then
            . /usr/share/bash-completion/completions/hassio
        fi
        # It asks for at most 300 ms, and is silent if there is no answer.
        if command -v hassio >/dev/null 2>&1; then
            hassio banner 2>/dev/null
        fi
        ;;
esac
