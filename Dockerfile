# The workflow with all that it needs; docs/container.md says how to use it.
#   docker build --tag odtl .
#   docker build --tag odtl:gpu --build-arg BASE=docker.io/nvidia/cuda:12.6.3-base-ubuntu24.04 --build-arg LOCK=gpu .
#   docker build --tag odtl:pods --build-arg LOCK="gpu kubernetes" .

# A Debian or Ubuntu whose python3 is 3.11 or 3.12.
ARG BASE=docker.io/library/debian:bookworm-slim
FROM ${BASE}

# The locks to install: run, or some of gpu, onnx, s3, kubernetes, which hold all of run, too, in the same versions.
ARG LOCK=run

# For NVIDIA's container runtime, on any base; CUDA's libraries are in the lock.
ENV NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility

SHELL ["/bin/bash", "-o", "pipefail", "-c"]
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends ca-certificates python3 python3-venv \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /opt/odtl
# Of their own, before the workflow: what is installed here is kept while only that changes.
COPY requirements/*.lock requirements/
# As the Makefile does.
RUN python3 -m venv .venv \
    && for lock in ${LOCK}; do .venv/bin/pip install --no-cache-dir --disable-pip-version-check --progress-bar off \
        --quiet --use-pep517 --require-hashes --requirement "requirements/$lock.lock" || exit 1; done
COPY . .
# Byte code, which nobody may write later on.
RUN .venv/bin/python -m compileall -q workflow

# Whatever user the container runs as has a home that it can write to, and a name, which Snakemake asks for.
RUN useradd --uid 1000 --no-create-home --home-dir /home/odtl odtl \
    && install --directory --mode 1777 /home/odtl \
    && install --directory --owner odtl /project
ENV HOME=/home/odtl \
    USER=odtl \
    PATH=/opt/odtl/.venv/bin:$PATH
USER odtl

# Images, my.yaml and results: the folder that is mounted here. Not a VOLUME: buildah lets that hide what is mounted.
WORKDIR /project
# TensorBoard.
EXPOSE 6006
ENTRYPOINT ["/opt/odtl/workflow/container/entrypoint"]
