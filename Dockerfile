# The image of the `tino` command: a virtual environment with pinned packages and the project's wheel, and nothing else.
# It is made in a stage of its own, so that neither pip nor the sources are in what is run. There is no shell in the way
# of a signal: SIGTERM reaches `tino`, which ends in order.
FROM python:3.12-slim AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /build

# First what changes rarely: packages are fetched again only when a pin has changed.
COPY requirements/build.txt requirements/serve.txt requirements/
RUN python -m venv --without-pip /opt/tino \
 && python -m pip install --require-hashes --only-binary :all: -r requirements/build.txt \
 && python -m pip --python /opt/tino/bin/python install --require-hashes --only-binary :all: -r requirements/serve.txt

# .dockerignore lets through what the wheel is made of, and nothing else.
COPY . .
RUN python -m pip wheel --no-deps --no-build-isolation --wheel-dir dist . \
 && python -m pip --python /opt/tino/bin/python install --no-deps --no-index dist/*.whl


FROM python:3.12-slim

# A number, so that whoever runs it can see that it is not root. A named volume takes /data's owner when it is first used.
RUN groupadd --gid 10001 tino \
 && useradd --uid 10001 --gid tino --no-create-home --home-dir /data --shell /usr/sbin/nologin tino \
 && install --directory --owner=tino --group=tino --mode=0750 /data \
 && install --directory /catalog
COPY --from=build /opt/tino /opt/tino

ENV PATH=/opt/tino/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 TINO_CATALOG=/catalog TINO_DATA=/data
# ONNX Runtime's wheels report on their use to their maker, unless this is set before they are loaded.
ENV ORT_DISABLE_TELEMETRY=1
WORKDIR /data
USER 10001:10001
EXPOSE 8000

# The image has no curl. Without a proxy: one that is set for the outside would be asked for this machine too.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
  CMD ["python", "-I", "-c", "import urllib.request as u; u.build_opener(u.ProxyHandler({})).open('http://127.0.0.1:8000/readyz', timeout=4)"]

ENTRYPOINT ["tino"]
CMD ["serve", "--host", "0.0.0.0"]
