package pyworker

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cpr-batch/cpr-batch/pipeline"
	"github.com/cpr-batch/cpr-batch/pyworker/values"
)

// Each case is one instance of a batch, so that a broken one has neighbours.
func TestWorkerReadsInstancesAsPythonDoes(t *testing.T) {
	t.Parallel()
	cases := []struct{ in, want string }{
		{`1`, `"1"`},
		{`1.0`, `"1.0"`},
		{`"a"`, `"'a'"`},
		{`[`, `! read InvalidJSON: Expecting value at column 2`},
		{`]`, `! read InvalidJSON: Expecting value at column 1`},
		{`[1,`, `! read InvalidJSON: Expecting value at column 4`},
		{`2]`, `! read InvalidJSON: Extra data at column 2`},
		{`{"a":`, `! read InvalidJSON: Expecting value at column 6`},
		{`1}`, `! read InvalidJSON: Extra data at column 2`},
		{`"a`, `! read InvalidJSON: Unterminated string starting at column 1`},
		{`b"`, `! read InvalidJSON: Expecting value at column 1`},
		{`1 2`, `! read InvalidJSON: Extra data at column 3`},
		{``, `! read InvalidJSON: Expecting value at column 1`},
		{"\ufeff1", `! read InvalidJSON: Unexpected UTF-8 BOM (decode using utf-8-sig) at column 1`},
		{"\"\t\"", `! read InvalidJSON: Invalid control character at column 2`},
		{"\"a\xffb\"", `! read InvalidJSON: not UTF-8: invalid start byte at byte 3`},
		{"[1,\n2]", `"[1, 2]"`},
		{"[1,\n2", `! read InvalidJSON: Expecting ',' delimiter at line 2 column 2`},
		{`  {"a": 1} `, `"{'a': 1}"`},
		{`{"a":1,"a":2}`, `"{'a': 2}"`},
		{`NaN`, `"nan"`},
		{`-Infinity`, `"-inf"`},
		{`1e400`, `"inf"`},
		{`"\ud800"`, `"'\\ud800'"`},
		{strings.Repeat("7", 300), `"` + strings.Repeat("7", 300) + `"`},
		{`{"b64":"AAE="}`, `"b'\\x00\\x01'"`},
		{`[{"x":{"b64":""}},{"b64":"aGk=","more":1},{"b64":1}]`, `"[{'x': b''}, {'b64': 'aGk=', 'more': 1}, {'b64': 1}]"`},
		{`{"b64":"AAE"}`, `! read InvalidBase64: b64: Incorrect padding`},
		{`{"b64":"é"}`, `! read InvalidBase64: b64: string argument should contain only ASCII characters`},
		{`null`, `"None"`},
		{strings.Repeat("[", 100000), `! read RecursionError: `},
		{strings.Repeat("1", 5000), `! read ValueError: Exceeds the limit`},
	}
	cfg := poolConfig(t, "reprs")
	cfg.DecodeB64 = true
	p := startPool(t, cfg)
	var texts []string
	for _, c := range cases {
		texts = append(texts, c.in)
	}
	call := newTestCall(texts...)
	answer, err := p.Predict(t.Context(), call)
	if err != nil {
		t.Fatal(err)
	}
	for i, got := range shown(answer.Outcomes) {
		if want := cases[i].want; got != want && !(i >= len(cases)-2 && strings.HasPrefix(got, want)) {
			t.Errorf("%.40q: %.200s, want %s", cases[i].in, got, want)
		}
		f := answer.Outcomes[i].Failure
		if f != nil && f.NotJSON != (f.Type == pipeline.TypeInvalidJSON) {
			t.Errorf("%.40q: %+v", cases[i].in, f)
		}
	}
	if f := answer.Outcomes[15].Failure; f.Text != "\"a\uFFFDb\"" {
		t.Errorf("text of bad UTF-8: %q", f.Text)
	}
}

func TestWorkerDoesNotCallPredictWhenAllInstancesAreBroken(t *testing.T) {
	t.Parallel()
	p := startPool(t, poolConfig(t, "counts"))
	predict(t, p, newTestCall("[1,", "2]"))
	if diff := cmp.Diff([]string{"[1,2]", "! read InvalidJSON: Expecting value at column 1", "[1,2]"}, predict(t, p, newTestCall("1", "x", "3"))); diff != "" {
		t.Error(diff)
	}
}

func TestWorkerReadsBase64OnlyWhenTold(t *testing.T) {
	t.Parallel()
	if diff := cmp.Diff([]string{`"{'b64': 'AAE='}"`}, predict(t, startPool(t, poolConfig(t, "reprs")), newTestCall(`{"b64":"AAE="}`))); diff != "" {
		t.Error(diff)
	}
}

func TestWorkerWritesPredictionsAsPythonDoes(t *testing.T) {
	t.Parallel()
	const remedy = "; output.non_finite says what to write instead"
	type want struct{ strict, null, text string }
	same := func(s string) want { return want{s, s, s} }
	cases := []struct {
		expression string
		want       want
	}{
		{`{'a': [1, 2.5, None, True], 'é': 'ü\u2028'}`, same("{\"a\":[1,2.5,null,true],\"é\":\"ü\u2028\"}")},
		{`'\ud800 \udfff\n"'`, same(`"\ud800 \udfff\n\""`)},
		{`10**400`, same("1" + strings.Repeat("0", 400))},
		{`1e22, Real(0.1), -0.0`, same(`[1e+22,0.1,-0.0]`)},
		{`{1: 2, None: 3, True: 4, 1.5: 5}`, same(`{"1":4,"null":3,"1.5":5}`)},
		{`{nan: 1}`, same(`{"NaN":1}`)},
		{`'NaN, Infinity'`, same(`"NaN, Infinity"`)},
		{`nan`, want{"! encode ValueError: NaN is not JSON" + remedy, `null`, `"NaN"`}},
		{`['NaN', -1e999, 1e999]`, want{"! encode ValueError: Infinity is not JSON" + remedy, `["NaN",null,null]`, `["NaN","-Infinity","Infinity"]`}},
		{`{'"': nan, nan: '\\'}`, want{"! encode ValueError: NaN is not JSON" + remedy, `{"\"":null,"NaN":"\\"}`, `{"\"":"NaN","NaN":"\\"}`}},
		{`{1, 2}`, same("! encode TypeError: Object of type set is not JSON serializable")},
		{`b'x'`, same("! encode TypeError: Object of type bytes is not JSON serializable")},
		{`[datetime.date(2026, 1, 1)]`, same("! encode TypeError: Object of type date is not JSON serializable")},
		{`Tensor()`, same("! encode TypeError: Object of type Tensor is not JSON serializable; evaluates.Tensor: return it with .tolist()")},
		{`Scalar()`, same("! encode TypeError: Object of type Scalar is not JSON serializable; evaluates.Scalar: return it with .item()")},
		{`{(1, 2): 3}`, same("! encode TypeError: keys must be str, int, float, bool or None, not tuple")},
		{`circle()`, same("! encode ValueError: Circular reference detected")},
		{`Raising([1])`, same("! encode LookupError: no elements")},
		{`deep()`, same("! encode RecursionError: ")},
		{`0`, same(`0`)},
	}
	var texts, strict, null, text []string
	for _, c := range cases {
		texts = append(texts, c.expression)
		strict, null, text = append(strict, c.want.strict), append(null, c.want.null), append(text, c.want.text)
	}
	for as, all := range map[values.NonFinite][]string{0: strict, values.AsNull: null, values.AsString: text} {
		cfg := poolConfig(t, "evaluates")
		cfg.NonFinite = as
		p := startPool(t, cfg)
		call := newTestCall(quoted(append([]string(nil), texts...)...)...)
		got := predict(t, p, call)
		for i := range got {
			if got[i] != all[i] && !(strings.HasSuffix(all[i], ": ") && strings.HasPrefix(got[i], all[i])) {
				t.Errorf("%s with non_finite %d: %.200s, want %.200s", texts[i], as, got[i], all[i])
			}
		}
		for i, in := range call.Instances[:10] { // and alone in a batch that needs no second look
			if got := predict(t, p, pipeline.Call{Instances: []pipeline.Instance{in}, Limit: call.Limit}); got[0] != all[i] {
				t.Errorf("%s alone with non_finite %d: %.200s, want %.200s", texts[i], as, got[0], all[i])
			}
		}
	}
}

func TestWorkerHonoursADefaultOfTheUsers(t *testing.T) {
	t.Parallel()
	if diff := cmp.Diff([]string{`{"at":"point"}`}, predict(t, startPool(t, poolConfig(t, "patches_default")), newTestCall("1"))); diff != "" {
		t.Error(diff)
	}
}

func TestWorkerLetsThePredictorChangeItsInstances(t *testing.T) {
	t.Parallel()
	if diff := cmp.Diff([]string{"2", "2"}, predict(t, startPool(t, poolConfig(t, "mutates")), newTestCall("1", "2"))); diff != "" {
		t.Error(diff)
	}
}

func TestWorkerGivesTheKeywordArgumentsOfTheCall(t *testing.T) {
	t.Parallel()
	p := startPool(t, poolConfig(t, "kwargs"))
	for kwargs, want := range map[string]string{
		"": `{}`, `{}`: `{}`, `{"top": 10000000000000000000001, "é": [0.10]}`: `{"top":10000000000000000000001,"é":[0.1]}`,
	} {
		call := newTestCall("1")
		call.Kwargs = []byte(kwargs)
		if diff := cmp.Diff([]string{want}, predict(t, p, call)); diff != "" {
			t.Error(diff)
		}
	}
	call := newTestCall("1")
	call.Kwargs = []byte(`{"self": 1}`)
	if e := callError(t, p, call); e.Failure.Type != "TypeError" {
		t.Errorf("call error: %+v", e)
	}
	call.Kwargs = []byte(`[`)
	if e := callError(t, p, call); e.Failure.Type != "InvalidJSON" || e.Failure.Phase != "read" {
		t.Errorf("call error: %+v", e)
	}
	e := callError(t, startPool(t, poolConfig(t, "shapes.OtherName")), pipeline.Call{Instances: call.Instances, Kwargs: []byte(`{"a":1}`), Limit: call.Limit})
	if !strings.Contains(e.Failure.Message, "unexpected keyword argument 'a'") {
		t.Errorf("call error: %+v", e)
	}
}

func TestWorkerCarriesLargeBatches(t *testing.T) {
	t.Parallel()
	p := startPool(t, poolConfig(t, "echo"))
	var texts []string
	for range 20 {
		texts = append(texts, `"`+strings.Repeat("0123456789abcdef", 1<<15)+`"`)
	}
	if diff := cmp.Diff(texts, predict(t, p, newTestCall(texts...))); diff != "" {
		t.Error("20 instances of 512 KiB are not what they were")
	}
}

func TestWorkerRefusesOnePredictionThatIsTooLarge(t *testing.T) {
	t.Parallel()
	cfg := poolConfig(t, "large")
	cfg.ResultLimit = 1000
	p := startPool(t, cfg)
	want := []string{"! encode PredictionTooLarge: the predictions of one call take 2004 bytes; 1000 are the limit"}
	if diff := cmp.Diff(want, predict(t, p, newTestCall("2000"))); diff != "" {
		t.Error(diff)
	}
}
