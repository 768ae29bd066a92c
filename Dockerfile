# Two stages: one that builds, one that has nothing to build with. Dependencies are locked by hash.
FROM python:3.13-slim AS build

WORKDIR /src
RUN python -m venv /opt/clicktrail
ENV PATH=/opt/clicktrail/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1

# The lock file first: as long as it stays the same, this layer does.
COPY requirements.lock integrations/container/postgres.lock ./
RUN pip install --require-hashes -r requirements.lock -r postgres.lock

COPY requirements-build.lock pyproject.toml README.md ./
COPY app ./app
COPY migrations ./migrations
RUN python -m venv /opt/build \
 && /opt/build/bin/pip install --require-hashes -r requirements-build.lock \
 && /opt/build/bin/hatchling build --target wheel --directory /dist \
 && pip install --no-deps /dist/*.whl \
 && pip uninstall --yes pip \
 && python -m compileall -q /opt/clicktrail


FROM python:3.13-slim

RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin clicktrail \
 && install -d -o clicktrail -g clicktrail -m 0700 /data
COPY --from=build /opt/clicktrail /opt/clicktrail

# Everything that is written goes to /data, temporary files too: the root file system may be read-only.
ENV PATH=/opt/clicktrail/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    TMPDIR=/data \
    CLICKTRAIL_DATA=/data \
    CLICKTRAIL_HOST=0.0.0.0 \
    CLICKTRAIL_PORT=8000

USER 10001
VOLUME /data
EXPOSE 8000
# SIGTERM drains; give it --stop-timeout 40.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/readyz', timeout=2)"]
ENTRYPOINT ["clicktrail"]
CMD ["serve"]
