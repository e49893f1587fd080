package ansible

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// A Step is the work of one module in a call of several.
type Step struct {
	Name     string         `json:"name"`
	Module   string         `json:"module"`
	Register string         `json:"register"` // under which name its result is found
	Args     map[string]any `json:"args"`
	When     any            `json:"when"`   // false: the step is left out
	Unless   any            `json:"unless"` // true: the step is left out
	Check    bool           `json:"check"`  // in check mode, whatever the others are in
}

// Sequence makes the module that does the work of several of a table in one call, one
// after another. Each has its own check mode and diff, as if it were alone. The first that
// fails is the last. What a step may take from an earlier one's result is read here, so
// nothing has to travel for it. When one of them wants the router's lock, it is held from the
// first step to the last one that does: another run, or what is left of one whose controller died,
// comes before all of them or after, and none acts by what one before it has read without the lock.
// A look at the network at the end keeps nobody waiting.
func Sequence(table map[string]Module) Module { return Module{steps: table, harden: harden} }

// Steps are the options of that module.
type Steps struct {
	Given map[string]any `json:"given"`
	Steps []Step         `json:"steps"`
}

// Validate refuses what cannot work, before the first step.
func (o Steps) Validate() error {
	errs := []error{Required("steps", o.Steps)}
	known, registered := slices.Sorted(maps.Keys(o.Given)), []string{}
	for i, s := range o.Steps {
		at := fmt.Sprintf("steps[%d]", i)
		errs = append(errs, Required(at+".name", s.Name, at+".module", s.Module, at+".register", s.Register))
		for _, part := range []struct {
			name  string
			value any
		}{{"args", s.Args}, {"when", s.When}, {"unless", s.Unless}} {
			errs = append(errs, unknown(at+"."+part.name, part.value, known))
		}
		if slices.Contains(registered, s.Register) {
			errs = append(errs, fmt.Errorf("%s.register: %q is taken: give each step its own", at, s.Register))
		}
		known, registered = append(known, s.Register), append(registered, s.Register)
	}
	return errors.Join(errs...)
}

// unknown reports references to what no earlier step registers.
func unknown(path string, value any, known []string) error {
	_, err := resolve(path, value, func(path, reference string) (any, error) {
		first, _, _ := strings.Cut(reference, ".")
		if !slices.Contains(known, first) {
			return nil, fmt.Errorf("%s: $from %q: neither given nor registered by an earlier step: %q; %s", path,
				reference, first, hint(first, known))
		}
		return nil, nil
	})
	return err
}

// sequence runs the steps and fills res with the result of each.
func (m Module) sequence(ctx context.Context, ctl control, raw []byte, res result) result {
	var o Steps
	if err := Decode(raw, &o); err != nil {
		return res.fail(err)
	}
	for i, s := range o.Steps {
		if _, found := m.steps[inBinary(s.Module)]; !found {
			return res.fail(fmt.Errorf("steps[%d].module: %s: no such module; %s", i, s.Module,
				hint(s.Module, slices.Sorted(maps.Keys(m.steps)))))
		}
	}
	answers := map[string]json.RawMessage{}
	results := maps.Clone(o.Given)
	if results == nil {
		results = map[string]any{}
	}
	res["answers"] = answers
	add := func(s Step, one result) (failed bool) {
		text, err := one.text()
		var read map[string]any
		if err = errors.Join(err, json.Unmarshal(text, &read)); err != nil {
			one["failed"] = true
		}
		results[s.Register], answers[s.Register] = read, text
		res["changed"] = res["changed"] == true || one["changed"] == true && !s.Check
		if failed = one["failed"] == true; failed {
			res["failed"], res["msg"] = true, fmt.Sprintf("%s: %v", s.Name, read["msg"])
		}
		return failed
	}
	var held holding
	defer func() { held.end() }()
	first, last := m.locks(o.Steps)
	if first >= 0 {
		if err := held.take(ctx, ctl, m.steps[inBinary(o.Steps[first].Module)]); err != nil {
			add(o.Steps[first], result{"changed": false}.fail(err))
			return res
		}
	}
	for i, s := range o.Steps {
		if i > last {
			held.end()
			held = nil
		}
		if one, ran := m.step(ctx, ctl, fmt.Sprintf("steps[%d]", i), s, results); ran && add(s, one) {
			break
		}
	}
	return res
}

// locks are the indexes of the first and the last step that wants the router's lock, -1 when none does.
func (m Module) locks(steps []Step) (first, last int) {
	first, last = -1, -1
	for i, s := range steps {
		if m.steps[inBinary(s.Module)].lock != "" {
			if last = i; first < 0 {
				first = i
			}
		}
	}
	return first, last
}

// inBinary is the name of a module here. In Ansible what only reads is called _info.
func inBinary(module string) string { return strings.TrimSuffix(module, "_info") }

func (m Module) step(ctx context.Context, ctl control, at string, s Step,
	results map[string]any,
) (res result, ran bool) {
	res = result{"changed": false}
	find := func(path, reference string) (any, error) { return lookup(path, reference, results) }
	when, err := condition(at+".when", s.When, true, find)
	unless, err2 := condition(at+".unless", s.Unless, false, find)
	if err = errors.Join(err, err2); err != nil {
		return res.fail(err), true
	}
	if !when || unless {
		return nil, false
	}
	args, err := resolve(at+".args", s.Args, find)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return res.fail(err), true
	}
	raw, err := json.Marshal(args)
	if err != nil {
		return res.fail(err), true
	}
	ctl.Check = ctl.Check || s.Check
	m.steps[inBinary(s.Module)].survivor(ctx, ctl, raw, res)
	return res, true
}

// condition decides whether a condition holds, which may be a reference.
func condition(path string, value any, otherwise bool, find func(path, reference string) (any, error)) (bool, error) {
	if value == nil {
		return otherwise, nil
	}
	found, err := resolve(path, value, find)
	if err != nil {
		return false, err
	}
	list, isList := found.([]any)
	object, isObject := found.(map[string]any)
	switch {
	case isList:
		return len(list) > 0, nil
	case isObject:
		return len(object) > 0, nil
	}
	holds := otherwise
	if err := Decode([]byte(`{"is":`+jsonText(found)+`}`), &struct {
		Is *bool `json:"is"`
	}{&holds}); err != nil {
		return false, fmt.Errorf("%s: expected yes or no, or a reference to it: %w", path, err)
	}
	return holds, nil
}

func jsonText(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		return "null"
	}
	return string(text)
}

// The keys of a reference: {"$from": "plan.plan.tunnels"}, where "plan" is given, or what
// an earlier step registers. $default is for what may be missing there.
const (
	fromKey    = "$from"
	defaultKey = "$default"
)

// resolve returns a value with its references replaced by what find has for them.
func resolve(path string, value any, find func(path, reference string) (any, error)) (any, error) {
	var errs []error
	switch v := value.(type) {
	case map[string]any:
		if reference, ok := v[fromKey].(string); ok {
			found, err := find(path, reference)
			fallback, has := v[defaultKey]
			switch {
			case errors.Is(err, errMissing) && has:
				return fallback, nil
			case err == nil && (len(v) > 2 || len(v) == 2 && !has):
				return nil, fmt.Errorf("%s: expected $from and $default and nothing else", path)
			}
			return found, err
		}
		out := make(map[string]any, len(v))
		for key, one := range v {
			found, err := resolve(join(path, key), one, find)
			out[key], errs = found, append(errs, err)
		}
		return out, errors.Join(errs...)
	case []any:
		out := make([]any, len(v))
		for i, one := range v {
			found, err := resolve(fmt.Sprintf("%s[%d]", path, i), one, find)
			out[i], errs = found, append(errs, err)
		}
		return out, errors.Join(errs...)
	}
	return value, nil
}

// errMissing is a result that has no such key.
var errMissing = errors.New("no such key in that result")

// lookup finds what a reference names among the results.
func lookup(path, reference string, results map[string]any) (any, error) {
	var at any = results
	for key := range strings.SplitSeq(reference, ".") {
		object, _ := at.(map[string]any)
		next, found := object[key]
		if !found {
			return nil, fmt.Errorf("%s: $from %q: %w: %q", path, reference, errMissing, key)
		}
		at = next
	}
	return at, nil
}
