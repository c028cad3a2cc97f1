# Completion of hassio and ha for fish. `hassio completion fish` prints it.
function __hassio_complete
    set -l line (commandline -opc)
    set -l found ($line[1] __complete fish $line[2..] (commandline -ct) 2>/dev/null)
    if test "$found[1]" = :files
        __fish_complete_path (commandline -ct)
    else
        printf '%s\n' $found
    end
end
complete -c hassio -f -a '(__hassio_complete)'
complete -c ha -f -a '(__hassio_complete)'
