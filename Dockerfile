# The app's image: Debian with the programs that people use in a session, and the server's three programs.
#
#   docker build -t hassio-sshd .
#
# RUST_IMAGE is a Debian with a Rust toolchain. BUILD_FROM is what the app's image begins with, as
# everywhere in Home Assistant: a Debian of the same release or a later one, since hassio-sshd is linked to the C library of
# RUST_IMAGE.
ARG BUILD_FROM=debian:bookworm-slim
ARG RUST_IMAGE=rust:1-bookworm

FROM ${RUST_IMAGE} AS build
WORKDIR /src
COPY . .
RUN scripts/packages patch:patch gcc:gcc && scripts/build --release

FROM ${BUILD_FROM}
# What a session has to work with: it sees these programs read-only and can install none.
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        bash ca-certificates curl fish git less nano openssh-sftp-server procps rsync zsh \
 && rm -rf /var/lib/apt/lists/*
# The three belong into one folder: the server looks for the other two beside itself.
COPY --from=build /src/target/app-release/hassio-sshd /src/target/app-release/hassio \
     /src/target/app-release/session-init /usr/bin/
# Completion where each shell looks for it, and what a login shell begins with. zsh takes nearly a second to find all
# completions, so it finds them here.
COPY src/cli/completion/login.sh /etc/profile.d/hassio.sh
RUN ln -s hassio /usr/bin/ha \
 && cd /usr/share \
 && mkdir -p bash-completion/completions zsh/vendor-completions fish/vendor_completions.d \
 && hassio completion bash >bash-completion/completions/hassio \
 && ln -s hassio bash-completion/completions/ha \
 && printf '%s\n' 'if [ -n "$PS1" ]; then . /usr/share/bash-completion/completions/hassio; fi' >>/etc/bash.bashrc \
 && hassio completion zsh >zsh/vendor-completions/_hassio \
 && hassio completion fish >fish/vendor_completions.d/hassio.fish \
 && ln -s hassio.fish fish/vendor_completions.d/ha.fish \
 && zsh -c 'autoload -Uz compinit && compinit -d /usr/share/zsh/compdump' \
 && printf '%s\n' 'autoload -Uz compinit && compinit -C -d /usr/share/zsh/compdump' >>/etc/zsh/zshrc
LABEL org.opencontainers.image.title="hassio-sshd" \
      org.opencontainers.image.description="An SSH server for Home Assistant in which every login is a sandbox" \
      org.opencontainers.image.licenses="Apache-2.0"
EXPOSE 22
CMD ["/usr/bin/hassio-sshd", "serve"]
