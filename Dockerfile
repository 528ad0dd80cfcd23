# Assay with the processor builds of PyTorch, about 2 GB, as a user without rights.
#   docker build -t assay .
#   docker run --rm -v "$PWD:/work" --user "$(id -u):$(id -g)" assay run nodule-loss --scale quick
# The base image can be pinned: --build-arg BASE=python:3.12-slim@sha256:DIGEST
ARG BASE=python:3.12-slim
FROM ${BASE}

ENV PIP_NO_CACHE_DIR=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/home/assay \
    ASSAY_CACHE=/home/assay/cache

WORKDIR /source
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY src src
# Versions are those of constraints.txt; torch and torchvision must come from one index.
# hadolint ignore=DL3013
RUN pip install --no-deps --constraint constraints.txt torch torchvision \
        --index-url https://download.pytorch.org/whl/cpu \
    && pip install --constraint constraints.txt ".[all]" \
    && useradd --create-home --home-dir /home/assay --uid 1000 assay \
    && mkdir -p /home/assay/cache \
    && chmod -R a+rwX /home/assay

USER 1000
WORKDIR /work
ENTRYPOINT ["assay"]
CMD ["--help"]
