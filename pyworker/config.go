package pyworker

import (
	"time"

	"github.com/cpr-batch/cpr-batch/pipeline"
)

// ModelConfig is the job file's `model`, in the words of
// `gcloud ai-platform versions create`.
type ModelConfig struct {
	Origin          string         `yaml:"origin"`       // model directory; "": none
	PackageURIs     []string       `yaml:"package_uris"` // .tar.gz archives, or local folders
	PredictionClass string         `yaml:"prediction_class"`
	Interface       string         `yaml:"interface"` // auto, ai_platform, vertex, function
	Kwargs          Kwargs         `yaml:"kwargs"`
	DecodeB64       bool           `yaml:"decode_b64"`
	MaxSize         pipeline.Bytes `yaml:"max_size"`
}

// PythonConfig is the job file's `python`.
type PythonConfig struct {
	Interpreter    string            `yaml:"interpreter"`
	Requirements   Requirements      `yaml:"requirements"`
	Env            map[string]string `yaml:"env"`
	ServiceAccount string            `yaml:"service_account"`
	Identity       string            `yaml:"identity"` // enforced, cooperative
}

// WorkersConfig is the job file's `workers`.
type WorkersConfig struct {
	Count          pipeline.Count `yaml:"count"`
	GPUs           string         `yaml:"gpus"`        // auto, none
	Start          string         `yaml:"start"`       // auto, spawn, fork
	Concurrency    int            `yaml:"concurrency"` // calls at a time in one worker
	Encoding       string         `yaml:"encoding"`    // auto, json
	LoadTimeout    time.Duration  `yaml:"load_timeout"`
	PredictTimeout time.Duration  `yaml:"predict_timeout"`
	MaxRequests    int            `yaml:"max_requests"` // recycle a worker after so many calls; 0: never
}

// Kwargs is a JSON object, as text: what predict gets as keyword arguments. The job
// file's decoder fills it, so that every digit is kept.
type Kwargs []byte

// Requirements is what the workers' environment needs: a requirements file, or a list of
// requirement lines, or neither.
type Requirements struct {
	File  string
	Lines []string
}
