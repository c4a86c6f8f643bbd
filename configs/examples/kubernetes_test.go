package examples_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"

	"github.com/cpr-batch/cpr-batch/pipeline"
)

const kubernetesJob = "kubernetes/indexed-job.yaml"

// manifest is what the file of the Indexed Job holds.
type manifest struct {
	config    *corev1.ConfigMap
	job       *batchv1.Job
	container corev1.Container
	args      []string // of the program, with the container's variables filled in
}

// decode reads a manifest as strictly as the API server does where it is asked to: unknown
// fields, doubled keys and wrong types are errors.
func decode(text []byte) (*manifest, error) {
	scheme := runtime.NewScheme()
	if err := errors.Join(batchv1.AddToScheme(scheme), corev1.AddToScheme(scheme)); err != nil {
		return nil, err
	}
	decoder := serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDeserializer()
	m := new(manifest)
	for document := range bytes.SplitSeq(text, []byte("\n---\n")) {
		object, _, err := decoder.Decode(document, nil, nil)
		if err != nil {
			return nil, err
		}
		switch object := object.(type) {
		case *corev1.ConfigMap:
			m.config = object
		case *batchv1.Job:
			m.job = object
		default:
			return nil, fmt.Errorf("a %T is neither a ConfigMap nor a Job", object)
		}
	}
	if m.config == nil || m.job == nil || len(m.job.Spec.Template.Spec.Containers) != 1 {
		return nil, errors.New("want a ConfigMap and a Job of one container")
	}
	m.container = m.job.Spec.Template.Spec.Containers[0]
	for _, arg := range m.container.Args {
		for _, v := range m.container.Env {
			arg = strings.ReplaceAll(arg, "$("+v.Name+")", v.Value)
		}
		m.args = append(m.args, arg)
	}
	return m, nil
}

func readManifest(t *testing.T) *manifest {
	t.Helper()
	text, err := os.ReadFile(kubernetesJob)
	if err != nil {
		t.Fatal(err)
	}
	m, err := decode(text)
	if err != nil {
		t.Fatalf("decode %s: %v", kubernetesJob, err)
	}
	return m
}

// flag is the value of one of the program's flags.
func (m *manifest) flag(t *testing.T, name string) string {
	t.Helper()
	for _, arg := range m.args {
		if value, ok := strings.CutPrefix(arg, "--"+name+"="); ok {
			return value
		}
	}
	t.Fatalf("%s: no --%s in %q", kubernetesJob, name, m.args)
	return ""
}

func TestManifestIsDecodedStrictly(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(kubernetesJob)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ old, replacement, want string }{
		"an unknown field":       {"  parallelism: 4\n", "  paralelism: 4\n", `unknown field "spec.paralelism"`},
		"a name in another case": {"  parallelism: 4\n", "  Parallelism: 4\n", `unknown field "spec.Parallelism"`},
		"a doubled key":          {"  parallelism: 4\n", "  parallelism: 4\n  parallelism: 5\n", `key "parallelism" already set`},
		"a text for a number":    {"  parallelism: 4\n", "  parallelism: four\n", "cannot unmarshal string"},
		"another version":        {"apiVersion: batch/v1\n", "apiVersion: batch/v2\n", "batch/v2"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			broken := bytes.Replace(text, []byte(c.old), []byte(c.replacement), 1)
			if bytes.Equal(broken, text) {
				t.Fatalf("%s has no %q", kubernetesJob, c.old)
			}
			if _, err := decode(broken); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
		})
	}
}

func TestIndexedJobIsOfSoManyTasksAsTheProgramIsTold(t *testing.T) {
	t.Parallel()
	m := readManifest(t)
	spec := m.job.Spec
	if spec.CompletionMode == nil || *spec.CompletionMode != batchv1.IndexedCompletion {
		t.Error("the Job is not Indexed: no pod has a JOB_COMPLETION_INDEX")
	}
	count, err := strconv.Atoi(m.flag(t, "task-count"))
	if err != nil {
		t.Fatal(err)
	}
	if spec.Completions == nil || int(*spec.Completions) != count {
		t.Errorf("completions %v, want those of --task-count=%d", spec.Completions, count)
	}
	// A pod that waits for another to begin is one that waits for ever: --task-wait=done.
	if spec.Parallelism == nil || int(*spec.Parallelism) != count {
		t.Errorf("parallelism %v, want that of --task-count=%d", spec.Parallelism, count)
	}
	for _, v := range m.container.Env {
		if v.Name == "JOB_COMPLETION_INDEX" {
			t.Error("JOB_COMPLETION_INDEX is set by hand: every pod would be the same task")
		}
	}
	if strings.Contains(strings.Join(m.args, " "), "$(") {
		t.Errorf("a variable of %q is not set", m.args)
	}
}

func TestDrainingFitsTheGracePeriod(t *testing.T) {
	t.Parallel()
	m := readManifest(t)
	drain, err := time.ParseDuration(m.flag(t, "drain-timeout"))
	if err != nil {
		t.Fatal(err)
	}
	seconds := m.job.Spec.Template.Spec.TerminationGracePeriodSeconds
	if seconds == nil {
		t.Fatal("terminationGracePeriodSeconds is not set")
	}
	// A worker has 5 s to end in.
	if grace := time.Duration(*seconds) * time.Second; drain+5*time.Second >= grace {
		t.Errorf("grace period %s is too short for --drain-timeout=%s", grace, drain)
	}
}

func TestPodFailurePolicyIsByOurExitStatuses(t *testing.T) {
	t.Parallel()
	m := readManifest(t)
	if m.job.Spec.Template.Spec.RestartPolicy != corev1.RestartPolicyNever || m.job.Spec.PodFailurePolicy == nil {
		t.Fatal("a podFailurePolicy needs restartPolicy: Never")
	}
	const stopped = 128 + int32(syscall.SIGTERM)
	type rule struct {
		Action     batchv1.PodFailurePolicyAction
		Statuses   []int32
		Conditions []corev1.PodConditionType
	}
	var got []rule
	for _, r := range m.job.Spec.PodFailurePolicy.Rules {
		g := rule{Action: r.Action}
		if codes := r.OnExitCodes; codes != nil {
			if codes.ContainerName == nil || *codes.ContainerName != m.container.Name || codes.Operator != batchv1.PodFailurePolicyOnExitCodesOpIn {
				t.Errorf("%s: its exit codes are not those In container %s", r.Action, m.container.Name)
			}
			g.Statuses = codes.Values
		}
		for _, condition := range r.OnPodConditions {
			if condition.Status != corev1.ConditionTrue {
				t.Errorf("%s: condition %s is %q, want True", r.Action, condition.Type, condition.Status)
			}
			g.Conditions = append(g.Conditions, condition.Type)
		}
		got = append(got, g)
	}
	// A pod that is evicted ends with 143: the condition has to come before.
	want := []rule{
		{Action: batchv1.PodFailurePolicyActionFailJob, Statuses: []int32{int32(pipeline.FixConfig), int32(pipeline.FixInput)}},
		{Action: batchv1.PodFailurePolicyActionIgnore, Conditions: []corev1.PodConditionType{corev1.DisruptionTarget}},
		{Action: batchv1.PodFailurePolicyActionCount, Statuses: []int32{int32(pipeline.TryAgain), stopped}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rules (-want +got):\n%s", diff)
	}
}

// The pods' own command lines share a run.
func TestPodsOfTheManifestShareARun(t *testing.T) {
	t.Parallel()
	m := readManifest(t)
	config := m.flag(t, "config")
	m.mountsTheJob(t, filepath.Dir(config))
	text, ok := m.config.Data[filepath.Base(config)]
	if !ok {
		t.Fatalf("the ConfigMap has no %s", filepath.Base(config))
	}
	tasks := make([]task, *m.job.Spec.Completions)
	for i := range tasks {
		tasks[i] = task{args: m.args, env: []string{"JOB_COMPLETION_INDEX=" + strconv.Itoa(i)}}
	}
	shareARun(t, text, tasks)
}

// mountsTheJob checks that the folder of --config is where the ConfigMap is mounted.
func (m *manifest) mountsTheJob(t *testing.T, folder string) {
	t.Helper()
	for _, mount := range m.container.VolumeMounts {
		for _, v := range m.job.Spec.Template.Spec.Volumes {
			if mount.MountPath == folder && v.Name == mount.Name && v.ConfigMap != nil && v.ConfigMap.Name == m.config.Name {
				return
			}
		}
	}
	t.Errorf("ConfigMap %s is not mounted at %s", m.config.Name, folder)
}
