# One image for all processes of Tokenworks; docker-compose.yml says which of them a container runs.

FROM python:3.11-slim AS dependencies
RUN python -m venv /opt/tokenworks
COPY requirements/base.txt /tmp/base.txt
RUN /opt/tokenworks/bin/pip install --no-cache-dir --require-hashes --only-binary :all: -r /tmp/base.txt

FROM python:3.11-slim
ENV PATH=/opt/tokenworks/bin:$PATH \
    PYTHONPATH=/srv/tokenworks \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    DJANGO_SETTINGS_MODULE=config.settings \
    TOKENWORKS_HOME=/var/lib/tokenworks \
    TOKENWORKS_HOST=0.0.0.0

# Typst brings no font for Chinese and Japanese, in which documents may be.
RUN apt-get update \
 && apt-get install --yes --no-install-recommends fonts-noto-cjk \
 && rm -rf /var/lib/apt/lists/*

# A volume mounted on one of these folders starts with their owner, so that the user below may write there.
RUN groupadd --gid 10001 tokenworks \
 && useradd --uid 10001 --gid tokenworks --no-create-home --home-dir /var/lib/tokenworks --shell /usr/sbin/nologin tokenworks \
 && install --directory --mode 0700 --owner tokenworks --group tokenworks \
    /var/lib/tokenworks /var/lib/tokenworks/journal

COPY --from=dependencies /opt/tokenworks /opt/tokenworks
# .dockerignore lets in the product's packages and manage.py, and nothing else.
COPY . /srv/tokenworks
WORKDIR /srv/tokenworks
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-m", "config.probe", "http://127.0.0.1:8000/health"]
CMD ["python", "-m", "config.web"]
