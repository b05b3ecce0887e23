# Stage one builds a virtual environment, stage two carries it and nothing else.
FROM python:3.11-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/crm-online
ENV PATH=/opt/crm-online/bin:$PATH
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
# Dependencies change rarely: a layer of their own, made from empty packages.
RUN mkdir crm_online streams && touch crm_online/__init__.py streams/__init__.py \
    && pip install --constraint constraints.txt hatchling \
    && pip install --constraint constraints.txt --no-build-isolation . \
    && pip uninstall --yes crm-online
COPY crm_online crm_online
COPY streams streams
RUN pip install --no-deps --no-build-isolation . && python -m compileall -q /opt/crm-online

FROM python:3.11-slim-bookworm
LABEL org.opencontainers.image.title="crm-online" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN useradd --create-home --uid 10001 crm
COPY --from=build /opt/crm-online /opt/crm-online
# numba keeps what it compiled where the user may write.
ENV PATH=/opt/crm-online/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    NUMBA_CACHE_DIR=/home/crm/.cache/numba
USER crm
WORKDIR /home/crm
ENTRYPOINT ["crm-online"]
CMD ["worker"]
