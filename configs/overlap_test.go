package configs_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cpr-batch/cpr-batch/configs"
)

func TestAnInputThatMatchesTheOutputIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"data/in.jsonl", "out*/predictions-1.jsonl", "out/old.jsonl", "real/x.jsonl", "data/a[1].jsonl"} {
		writeFile(t, dir, name, "1\n")
	}
	if err := os.Symlink(filepath.Join(dir, "real"), filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		uri, sink, compression string
		refused                bool
	}{
		"a glob over the output folder":                   {"out/*.jsonl", "out", "none", true},
		"the output folder":                               {"out/", "out", "none", true},
		"the output folder, without a slash":              {"out", "out/", "none", true},
		"a folder around the output folder":               {".", "out/deep", "none", true},
		"a folder inside the output folder":               {"out/data", "out", "none", false},
		"a folder beside":                                 {"data", "out", "none", false},
		"a folder whose name begins alike":                {"out2", "out", "none", false},
		"a folder that leaves the output out by its name": {"data", "data/_out", "none", false},
		"a glob that does not go so deep":                 {"data/*.jsonl", "data/out", "none", false},
		"a glob that goes deeper":                         {"data/**/*.jsonl", "data/out", "none", true},
		"a glob for one number":                           {"out/predictions-00007-of-*.jsonl", "out", "none", true},
		"a glob for errors":                               {"out/err*", "out", "none", true},
		"a glob for another extension":                    {"out/*.csv", "out", "none", false},
		"a glob for lines, compressed output":             {"out/*.jsonl", "out", "gzip", false},
		"a glob for compressed lines":                     {"out/*.jsonl.{gz,zst}", "out", "zstd", true},
		"a glob for other names":                          {"out/instances-*.jsonl", "out", "none", false},
		"a file beside the output":                        {"data/in.jsonl", "data", "none", false},
		"a file in the output folder":                     {"out/old.jsonl", "out", "none", false},
		"a file of the output's own":                      {"out/predictions-00123-of-00456.jsonl", "out", "none", true},
		"a file of a run of failures":                     {"out/retry-3/errors-00000-of-00001.jsonl", "out", "none", true},
		"the report":                                      {"out/report.json", "out", "none", true},
		"through two dots":                                {"data/../out/*.jsonl", "./data/./../out", "none", true},
		"an absolute input":                               {dir + "/out/*.jsonl", "out", "none", true},
		"an absolute output":                              {"out/*.jsonl", dir + "/out/", "none", true},
		"through a link":                                  {"link/*.jsonl", "real", "none", true},
		"through a link, further down":                    {"real", "link/a/b", "none", true},
		"an existing name with signs of a glob":           {"data/a[1].jsonl", "data", "none", false},
		"a folder with a star in its name":                {"out*", "out", "none", false},
		"the same folder in another bucket":               {"gs://a/out/*.jsonl", "gs://b/out/", "none", false},
		"the same folder of a bucket":                     {"gs://a/out/*.jsonl", "gs://a/out/", "none", true},
		"a folder of a bucket":                            {"gs://a/", "gs://a/out/", "none", true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := options("")
			file, err := os.CreateTemp(dir, "job-*.yaml")
			if err != nil {
				t.Fatal(err)
			}
			defer file.Close()
			o.Path = file.Name()
			text := "model: {prediction_class: p.P}\nsource:\n  jsonl:\n    uris:\n      - '" + test.uri + "'\nsink: {jsonl: {uri: '" + test.sink + "', compression: " + test.compression + "}}\n"
			if _, err := file.WriteString(text); err != nil {
				t.Fatal(err)
			}
			refused := false
			if _, err := configs.Load(t.Context(), o); err != nil {
				for line := range strings.SplitSeq(err.Error(), "\n") {
					if strings.Contains(line, ":5:9: source.jsonl.uris[0]: ") && strings.Contains(line, "would match the output's own files") {
						refused = true
					} else if !strings.Contains(line, "not built yet") {
						t.Error(line)
					}
				}
			}
			if refused != test.refused {
				t.Errorf("refused: %t, want %t", refused, test.refused)
			}
		})
	}
}
