# Assay with the processor builds of PyTorch, about 2 GB, as a user without rights.
#   docker build -t assay .
#   docker run --rm -v "$PWD:/work" -v "$PWD/.assay:/state" -e XDG_STATE_HOME=/state --user "$(id -u):$(id -g)" assay run nodule-loss --scale quick
# The base image is Python 3.12.14 on Debian 13, by the digest of its index for all processors. For a newer one, take
# the digest that `docker buildx imagetools inspect python:3.12-slim` prints.
FROM python:3.12-slim@sha256:78387bc3881b8273120a12ebe6c1ab22b018ccc2c9adf565ae1ac9b536e184ea

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
