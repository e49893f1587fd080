// Command etcd writes increasing numbers to an etcd of several members, each as soon as
// the one before is acknowledged, and prints each that is: the number, the microsecond
// of the clock, the member. `make etcd` runs it on a node of a lab.
//
//	etcd write URL,URL,... PREFIX   until it is killed
//	etcd read URL,URL,... PREFIX    which numbers are there
//	etcd state URL                  the leader and the term, as one member knows them
package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

// patience is how long a member has for an answer before the next one is asked.
const patience = time.Second

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "etcd: want write, read or state, URLs of members, and a prefix of keys")
		os.Exit(2)
	}
	members, prefix := strings.Split(os.Args[2], ","), append(os.Args, "n")[3]
	var err error
	switch os.Args[1] {
	case "write":
		write(members, prefix)
	case "read":
		err = read(members, prefix)
	case "state":
		err = state(members[0])
	default:
		err = fmt.Errorf("%q: want write, read or state", os.Args[1])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "etcd:", err)
		os.Exit(1)
	}
}

// write tries a number again, with the next member, until it is acknowledged: a number
// that was written without an answer is written twice, with the same value.
func write(members []string, prefix string) {
	for n, at := 1, 0; ; n++ {
		body := map[string]any{"key": text(fmt.Sprintf("%s/%09d", prefix, n)), "value": text(fmt.Sprint(n))}
		for call(members[at], "kv/put", body, nil) != nil {
			at = (at + 1) % len(members)
			time.Sleep(10 * time.Millisecond)
		}
		fmt.Println(n, time.Now().UnixMicro(), members[at])
		time.Sleep(5 * time.Millisecond)
	}
}

func read(members []string, prefix string) error {
	var answer struct {
		KVs []struct {
			Value []byte `json:"value"`
		} `json:"kvs"`
	}
	err := errors.New("no member")
	for _, m := range members {
		// All keys of the prefix, as a majority knows them.
		if err = call(m, "kv/range",
			map[string]any{"key": text(prefix + "/"), "range_end": text(prefix + "0")}, &answer); err == nil {
			break
		}
	}
	for _, kv := range answer.KVs {
		fmt.Println(string(kv.Value))
	}
	return err
}

func state(member string) error {
	var answer struct {
		Leader string `json:"leader"`
		Term   string `json:"raftTerm"`
	}
	if err := call(member, "maintenance/status", map[string]any{}, &answer); err != nil {
		return err
	}
	fmt.Println(answer.Leader, answer.Term)
	return nil
}

func text(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

var client = http.Client{Transport: &http.Transport{
	DialContext: (&net.Dialer{Timeout: patience / 2}).DialContext,
}}

func call(member, method string, body, answer any) error {
	limit := patience
	if answer != nil {
		limit = 10 * patience
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	raw, err := json.Marshal(body)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, member+"/v3/"+method, bytes.NewReader(raw))
	if err != nil {
		return err
	}
	reply, err := client.Do(request)
	if err != nil {
		return err
	}
	defer reply.Body.Close()
	if reply.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", member, reply.Status)
	}
	if answer == nil {
		answer = &struct{}{}
	}
	return json.NewDecoder(reply.Body).Decode(answer)
}
