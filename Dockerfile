# One static binary and the public certificate authorities; no shell, no package manager, no root.
FROM rust:1.95-slim-bookworm AS build
WORKDIR /src
COPY . .
# `--target` keeps the flags away from build scripts and macros, which cannot be linked statically.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    host="$(rustc --print host-tuple)" \
    && RUSTFLAGS="-C target-feature=+crt-static" \
       cargo build --release --locked --target "$host" --bin toolgate \
    && install -D -m 0755 "target/$host/release/toolgate" /image/toolgate \
    && install -D -m 0644 /etc/ssl/certs/ca-certificates.crt /image/etc/ssl/certs/ca-certificates.crt

FROM scratch
COPY --from=build /image/ /
# A number, so that Kubernetes can see that it is not root (runAsNonRoot).
USER 65532:65532
# Proxy; admin (/livez, /readyz, /metrics). There is no shell for a HEALTHCHECK: probe /livez from outside.
EXPOSE 8080 9090
ENTRYPOINT ["/toolgate"]
CMD ["serve", "--config", "/etc/toolgate/toolgate.yaml"]
