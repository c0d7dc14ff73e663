# One image per role: --build-arg ROLE=service (API, migrations), worker or agent.
FROM python:3.11-slim-bookworm
ARG ROLE=service
# Where pip takes torch from; the CPU build unless said otherwise.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
WORKDIR /app
COPY locks/ locks/
RUN if [ "$ROLE" = worker ]; then \
      pip install --no-cache-dir --index-url "$TORCH_INDEX" torch==2.13.0 \
      && pip install --no-cache-dir -r locks/search.txt -r locks/service.txt; \
    else pip install --no-cache-dir -r "locks/$ROLE.txt"; fi
COPY CMakeLists.txt pyproject.toml README.md LICENSE alembic.ini ./
COPY latency/ latency/
COPY search/ search/
COPY service/ service/
COPY migrations/ migrations/
RUN pip install --no-cache-dir --no-deps . \
    && useradd --create-home --uid 10001 edgewright \
    && install -d -o edgewright -g edgewright /data
USER edgewright
ENV EDGEWRIGHT_DATA_DIR=/data
VOLUME /data
CMD ["edgewright", "--help"]
