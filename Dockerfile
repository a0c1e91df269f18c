# Images of one code base:
#   docker build --target platform -t geo-assets-platform .    webserver and daemon, with Dagster
#   docker build --target worker   -t geo-assets-worker   .    what a compute backend starts, without Dagster
#   docker build --target lambda   -t geo-assets-lambda   .    the worker as a function of AWS Lambda: docs/deploy/lambda.md
# Driver and workers exchange pickles, so both come from the same base and the same pins.
# Secrets are never copied in: storage and database credentials come from the environment at run time.

ARG PYTHON_IMAGE=python:3.11.14-slim-bookworm

# ---- what both images share ----
FROM ${PYTHON_IMAGE} AS base
# Loops are compiled while the image is built, for this kind of processor: AVX2, which Lambda, Fargate and all usual machines
# have. On ARM build with --build-arg CPU=neoverse-n1
ARG CPU=x86-64-v3
ENV PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_ROOT_USER_ACTION=ignore \
    NUMBA_CPU_NAME=${CPU} \
    NUMBA_CPU_FEATURES= \
    NUMBA_CACHE_DIR=/opt/numba \
    PATH=/opt/venv/bin:$PATH
# rasterio's wheel leaves libexpat to the system
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates libexpat1 \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 10001 geo \
    && useradd --uid 10001 --gid geo --create-home --shell /usr/sbin/nologin geo

# ---- the two environments, each with its own lock ----
FROM base AS build-platform
RUN python -m venv /opt/venv
COPY requirements/platform.txt /src/requirements/
RUN pip install --require-hashes --no-deps -r /src/requirements/platform.txt
COPY pyproject.toml README.md LICENSE /src/
COPY geo_assets /src/geo_assets
RUN pip install --no-deps --no-build-isolation /src && python -m geo_assets.tasks.warm

FROM base AS build-worker
RUN python -m venv /opt/venv
COPY requirements/worker.txt /src/requirements/
RUN pip install --require-hashes --no-deps -r /src/requirements/worker.txt
COPY pyproject.toml README.md LICENSE /src/
COPY geo_assets /src/geo_assets
RUN pip install --no-deps --no-build-isolation /src \
    && python -m geo_assets.tasks.warm \
    && python -c 'import importlib.util, sys; sys.exit(importlib.util.find_spec("dagster") is not None)'

FROM build-worker AS build-lambda
COPY requirements/lambda.txt /src/requirements/
RUN pip install --require-hashes --no-deps -r /src/requirements/lambda.txt \
    && python -c 'import awslambdaric, geo_assets.doors.lambda_worker'

# ---- worker: the compute backend names the command; tasks arrive pickled ----
FROM base AS worker
COPY --from=build-worker /opt/venv /opt/venv
# numba only takes compiled loops from a folder that it could write to
COPY --from=build-worker --chown=10001:10001 /opt/numba /opt/numba
USER 10001:10001
WORKDIR /home/geo
CMD ["python", "-c", "import geo_assets.tasks; print('geo_assets worker: name the command of a compute backend')"]

# ---- lambda: AWS runs it as a user of its own, and only /tmp can be written ----
FROM worker AS lambda
COPY --from=build-lambda /opt/venv /opt/venv
ENV HOME=/tmp
WORKDIR /tmp
ENTRYPOINT ["python", "-m", "awslambdaric"]
CMD ["geo_assets.doors.lambda_worker.handler"]

# ---- platform: the webserver; `dagster-daemon run -w /app/workspace.yaml` in a second container of the same image ----
FROM base AS platform
COPY --from=build-platform /opt/venv /opt/venv
# numba only takes compiled loops from a folder that it could write to
COPY --from=build-platform --chown=10001:10001 /opt/numba /opt/numba
COPY resources /app/resources
COPY workspace.yaml /app/
COPY dagster.yaml /opt/dagster/
RUN chown -R geo:geo /opt/dagster
ENV DAGSTER_HOME=/opt/dagster \
    GEO_ASSETS_DEPLOYMENT=cloud
USER 10001:10001
WORKDIR /app
EXPOSE 3000
VOLUME ["/opt/dagster"]
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:3000/server_info', timeout=4)"]
CMD ["dagster-webserver", "--host", "0.0.0.0", "--port", "3000", "--workspace", "/app/workspace.yaml"]
