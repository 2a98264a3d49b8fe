# The command in a small image. The state of runs lies in /state: mount a volume there.
FROM rust:1.95-slim-trixie AS build
RUN apt-get update && apt-get install --yes --no-install-recommends gcc g++ libc6-dev make && rm -rf /var/lib/apt/lists/*
WORKDIR /source
COPY . .
RUN cargo build --locked --release --package lmbatch-cli --features parquet

FROM debian:trixie-slim
RUN apt-get update && apt-get install --yes --no-install-recommends ca-certificates && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 1000 lmbatch && mkdir /state && chown lmbatch /state
COPY --from=build /source/target/release/lmbatch /usr/local/bin/lmbatch
USER lmbatch
ENV XDG_STATE_HOME=/state
WORKDIR /work
ENTRYPOINT ["lmbatch"]
