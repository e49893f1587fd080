package ansible

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os/signal"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/wgmesh/router/pkg/cause"
)

type result map[string]any

// result runs the module from its raw input to what is to be reported.
func (m Module) result(argv []string, in io.Reader) (res result) {
	res = result{"changed": false}
	defer res.survive()
	if err := m.harden(); err != nil {
		return res.fail(err)
	}
	raw, err := readArguments(argv, in)
	if err != nil {
		return res.fail(err)
	}
	ctl, err := parseControl(raw)
	if err != nil {
		return res.fail(err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGHUP, syscall.SIGINT)
	defer stop()
	if m.steps != nil {
		return m.sequence(ctx, ctl, raw, res)
	}
	m.locked(ctx, ctl, raw, res)
	return res
}

// survive makes a panic a failure. What is known by then is reported all the same.
func (r result) survive() {
	if v := recover(); v != nil {
		r.fail(fmt.Errorf("internal error: %s; please report it", describePanic(v)))
	}
}

// survivor executes one step of several, whose panic must not lose the others.
func (m Module) survivor(ctx context.Context, ctl control, raw []byte, res result) {
	defer res.survive()
	m.execute(ctx, ctl, raw, res)
}

// locked executes under the router's lock, unless nothing is to change.
func (m Module) locked(ctx context.Context, ctl control, raw []byte, res result) {
	var held holding
	if err := held.take(ctx, ctl, m); err != nil {
		res.fail(err)
		return
	}
	defer held.end()
	m.execute(ctx, ctl, raw, res)
}

// holding releases the router's lock. It is nil when it is not held.
type holding func()

// take takes the lock that a module wants, unless it is held or nothing is to change.
func (h *holding) take(ctx context.Context, ctl control, m Module) error {
	if *h != nil || m.lock == "" || ctl.Check {
		return nil
	}
	unlock, err := lock(ctx, m.lock, m.patience)
	if err == nil {
		*h = unlock
	}
	return err
}

func (h holding) end() {
	if h != nil {
		h()
	}
}

// execute plans, and applies the plan unless this is check mode. It fills res
// as it goes, so that a panic half-way still reports what is known.
func (m Module) execute(ctx context.Context, ctl control, raw []byte, res result) {
	p, err := m.plan(ctx, raw)
	if p.Record != nil && !ctl.Check {
		seen, recordErr := p.Record(ctx)
		p.Report(seen)
		err = errors.Join(err, recordErr)
	}
	if err != nil {
		res.add(p)
		res.fail(err)
		return
	}
	res["changed"] = p.Changed
	if ctl.Diff && (p.Before != nil || p.After != nil) {
		res["diff"] = map[string]any{"before": render(p.Before), "after": render(p.After)}
	}
	if p.Changed && ctl.Check && p.Rehearse != nil {
		p.Warnings = append(p.Warnings, p.Rehearse(ctx)...)
	}
	if p.Changed && !ctl.Check && p.Apply != nil {
		out, err := p.Apply(ctx)
		if len(out.Done) > 0 {
			res["done"] = out.Done
		}
		if err != nil {
			res["changed"] = len(out.Done) > 0
			res.fail(err)
		}
		p.Report(out.Return)
		p.Warnings = append(p.Warnings, out.Warnings...)
	}
	res.add(p)
}

// add merges what a plan returns. What this package itself reports wins, and
// rc is dropped, since a task with an rc other than 0 fails.
func (r result) add(p Plan) {
	for k, v := range p.Return {
		if _, taken := r[k]; !taken && k != "rc" && k != "failed" {
			r[k] = v
		}
	}
	late, _ := p.Return["warnings"].([]string) // of what was done
	if warnings := slices.Concat(p.Warnings, late); len(warnings) > 0 {
		r["warnings"] = warnings
	}
}

// fail marks the result as a failure with err as its message, and with its causes
// for the table that a play ends with.
func (r result) fail(err error) result {
	r["failed"] = true
	r["msg"] = message(err)
	r["causes"] = cause.Of(err)
	return r
}

func (r result) write(out io.Writer) error {
	text, err := r.text()
	_, werr := out.Write(text)
	return errors.Join(err, werr)
}

// text is the result as one line of JSON, or what says that it is none.
func (r result) text() ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	err := enc.Encode(r)
	if err != nil {
		buf.Reset()
		fmt.Fprintf(&buf,
			`{"failed":true,"changed":%t,"msg":"internal error: the result is not JSON; please report it"}`+"\n",
			r["changed"])
	}
	return buf.Bytes(), err
}

// message puts an error on one line. Errors that were joined are numbered.
func message(err error) string {
	var joined interface{ Unwrap() []error }
	text := err.Error()
	if !errors.As(err, &joined) {
		return text
	}
	lines := flatten(joined.Unwrap())
	list := strings.Join(lines, "\n")
	prefix, found := strings.CutSuffix(text, list)
	if !found || len(lines) < 2 {
		return text
	}
	for i := range lines {
		lines[i] = fmt.Sprintf("(%d) %s", i+1, lines[i])
	}
	return fmt.Sprintf("%s%d problems: %s", prefix, len(lines), strings.Join(lines, "; "))
}

// flatten lists the texts of errors, going into those that were joined.
func flatten(errs []error) []string {
	var out []string
	for _, err := range errs {
		// The error itself, not what it wraps.
		if joined, ok := err.(interface{ Unwrap() []error }); ok { //nolint:errorlint // see above
			if lines := flatten(joined.Unwrap()); strings.Join(lines, "\n") == err.Error() {
				out = append(out, lines...)
				continue
			}
		}
		out = append(out, err.Error())
	}
	return out
}

// describePanic names the kind and the place of a panic. It leaves out the
// value, unless the Go runtime made it, and the stack, for they may hold data.
func describePanic(v any) string {
	what := "panic"
	if err, ok := v.(runtime.Error); ok {
		what = err.Error()
	}
	pc := make([]uintptr, 32)
	frames := runtime.CallersFrames(pc[:runtime.Callers(3, pc)])
	for {
		f, more := frames.Next()
		if f.Function != "" && !strings.HasPrefix(f.Function, "runtime.") {
			return fmt.Sprintf("%s in %s line %d", what, f.Function, f.Line)
		}
		if !more {
			return what
		}
	}
}

// render makes the text of a view for --diff, which compares line by line. A string is taken as it
// is. Anything else is laid out like YAML with one value on a line and sorted keys.
func render(view any) string {
	if view == nil {
		return ""
	}
	if text, ok := view.(string); ok {
		if text != "" && !strings.HasSuffix(text, "\n") {
			text += "\n"
		}
		return text
	}
	raw, err := json.Marshal(view)
	if err != nil {
		return fmt.Sprintf("(%T cannot be shown)\n", view)
	}
	tree, err := parseJSON(raw)
	if err != nil {
		return fmt.Sprintf("(%T cannot be shown)\n", view)
	}
	var b strings.Builder
	for _, line := range layout(tree) {
		b.WriteString(line + "\n")
	}
	return b.String()
}

func layout(tree any) []string {
	var lines []string
	switch v := tree.(type) {
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			if inner := layout(v[key]); nested(v[key]) {
				lines = append(lines, key+":")
				lines = append(lines, indent("  ", "  ", inner)...)
			} else {
				lines = append(lines, key+": "+inner[0])
			}
		}
		if len(v) == 0 {
			return []string{"{}"}
		}
	case []any:
		for _, item := range v {
			lines = append(lines, indent("- ", "  ", layout(item))...)
		}
		if len(v) == 0 {
			return []string{"[]"}
		}
	default:
		lines = []string{scalar(v)}
	}
	return lines
}

// nested says that a value needs lines of its own.
func nested(tree any) bool {
	switch v := tree.(type) {
	case map[string]any:
		return len(v) > 0
	case []any:
		return len(v) > 0
	}
	return false
}

func scalar(v any) string {
	text, ok := scalarText(v)
	switch {
	case !ok:
		return "null"
	case text == "" || strings.ContainsAny(text, "\n\r\t"):
		return strconv.Quote(text)
	}
	return text
}

// indent puts first before the first line and rest before the others.
func indent(first, rest string, lines []string) []string {
	for i := range lines {
		if i == 0 {
			lines[i] = first + lines[i]
		} else {
			lines[i] = rest + lines[i]
		}
	}
	return lines
}
