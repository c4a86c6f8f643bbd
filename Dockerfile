# The program in an image of its own, for Predictors of standard-library Python, and to
# take the program from:
#
#   docker build -t cpr-batch .
#   docker run --rm -v "$PWD:/job" cpr-batch run --config /job/job.yaml
#
# A Predictor that needs more brings its own image, which most do. The program is one static
# file, so it runs on any base with a Python 3.7 or newer:
#
#   FROM python:3.12-slim
#   RUN pip install --no-cache-dir scikit-learn==1.5.2
#   COPY --from=cpr-batch /usr/local/bin/cpr-batch /usr/local/bin/cpr-batch
#   COPY job /job
#   USER 65532:65532
#   ENTRYPOINT ["cpr-batch", "run", "--config", "/job/job.yaml"]

FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=dev
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=${VERSION}" -o /out/cpr-batch ./cmd/cpr-batch

FROM python:3.11-slim
RUN useradd --uid 65532 --user-group --create-home --shell /usr/sbin/nologin cpr
COPY --from=build /out/cpr-batch /usr/local/bin/cpr-batch
WORKDIR /job
USER 65532:65532
# A list, not a line for a shell: the program is process 1 itself, so that SIGTERM reaches
# it, and waits for what is left to it.
ENTRYPOINT ["/usr/local/bin/cpr-batch"]
CMD ["--help"]
