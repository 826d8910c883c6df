package webhook_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/kinora/kinora/client/webhook"
)

func TestVerifyVectors(t *testing.T) {
	for name, v := range vectors {
		t.Run(name, func(t *testing.T) {
			seconds, err := strconv.ParseInt(v.timestamp, 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			verifier := newVerifier(t, []string{standardSecret}, webhook.WithClock(func() time.Time { return time.Unix(seconds, 0) }))
			h := http.Header{}
			h.Set(webhook.HeaderID, v.id)
			h.Set(webhook.HeaderTimestamp, v.timestamp)
			h.Set(webhook.HeaderSignature, v.signature)
			h.Set(webhook.HeaderAttempt, "3")
			event, err := verifier.Verify(h, []byte(v.body))
			if err != nil {
				t.Fatal(err)
			}
			if event.ID != v.id || event.Timestamp.Unix() != seconds || event.Attempt != 3 {
				t.Errorf("header fields: %+v", event)
			}
			// The keys, their order and every value survive, so the body written again is the same.
			again, err := json.Marshal(event)
			if err != nil || string(again) != v.body {
				t.Errorf("written again: %s (%v)\nwant           %s", again, err, v.body)
			}

			hexOnly := newVerifier(t, []string{standardSecret}, webhook.RequireTimestamp(false))
			h = http.Header{}
			h.Set(webhook.HeaderHexSignature, v.hex)
			event, err = hexOnly.Verify(h, []byte(v.body))
			if err != nil {
				t.Fatal(err)
			}
			if event.ID != "" || !event.Timestamp.IsZero() || event.Attempt != 0 {
				t.Errorf("fields that nothing proves are set: %+v", event)
			}
		})
	}
}

// TestVerifyHeaders changes the headers of a genuine delivery, one thing at a time.
func TestVerifyHeaders(t *testing.T) {
	const v1 = "v1,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
	set := func(name, value string) func(http.Header) {
		return func(h http.Header) { h.Set(name, value) }
	}
	del := func(names ...string) func(http.Header) {
		return func(h http.Header) {
			for _, name := range names {
				h.Del(name)
			}
		}
	}
	standardHeaders := []string{webhook.HeaderID, webhook.HeaderTimestamp, webhook.HeaderSignature}
	hexHeaders := []string{webhook.HeaderHexSignature, webhook.HeaderHexSignaturePrevious}

	tests := map[string]struct {
		change func(http.Header)
		want   error
	}{
		"untouched":            {func(http.Header) {}, nil},
		"hex taken off":        {del(hexHeaders...), nil},
		"hex broken":           {set(webhook.HeaderHexSignature, "zz"), nil}, // the webhook-* headers decide
		"attempt not a number": {set(webhook.HeaderAttempt, "-1"), nil},
		"names in lower case, as function platforms give them": {func(h http.Header) {
			for _, name := range standardHeaders {
				h[name] = h.Values(name)
				h.Del(name)
			}
		}, nil},

		"webhook-* taken off":  {del(standardHeaders...), webhook.ErrMissing},
		"everything taken off": {del(append(standardHeaders, hexHeaders...)...), webhook.ErrMissing},
		"id taken off":         {del(webhook.HeaderID), webhook.ErrMalformed},
		"timestamp taken off":  {del(webhook.HeaderTimestamp), webhook.ErrMalformed},
		"signature taken off":  {del(webhook.HeaderSignature), webhook.ErrMalformed},

		"id changed":        {set(webhook.HeaderID, "evt_2"), webhook.ErrMismatch},
		"id empty":          {set(webhook.HeaderID, ""), webhook.ErrMalformed},
		"id with a dot":     {set(webhook.HeaderID, "evt_1.1"), webhook.ErrMalformed},
		"id huge":           {set(webhook.HeaderID, strings.Repeat("e", 1<<20)), webhook.ErrMalformed},
		"timestamp changed": {set(webhook.HeaderTimestamp, "1790000001"), webhook.ErrMismatch},
		"timestamp empty":   {set(webhook.HeaderTimestamp, ""), webhook.ErrMalformed},
		"timestamp +":       {set(webhook.HeaderTimestamp, "+1790000000"), webhook.ErrMalformed},
		"timestamp -":       {set(webhook.HeaderTimestamp, "-1790000000"), webhook.ErrMalformed},
		"timestamp 0…":      {set(webhook.HeaderTimestamp, "01790000000"), webhook.ErrMalformed},
		"timestamp 0":       {set(webhook.HeaderTimestamp, "0"), webhook.ErrMalformed},
		"timestamp decimal": {set(webhook.HeaderTimestamp, "1790000000.0"), webhook.ErrMalformed},
		"timestamp spaced":  {set(webhook.HeaderTimestamp, " 1790000000"), webhook.ErrMalformed},
		"timestamp hex":     {set(webhook.HeaderTimestamp, "0x6ab13780"), webhook.ErrMalformed},
		"timestamp in ms":   {set(webhook.HeaderTimestamp, "1790000000000"), webhook.ErrMalformed},
		"timestamp max":     {set(webhook.HeaderTimestamp, "9223372036854775807"), webhook.ErrMalformed},
		"timestamp far":     {set(webhook.HeaderTimestamp, "999999999999"), webhook.ErrTimestamp},

		"signature empty":  {set(webhook.HeaderSignature, ""), webhook.ErrMalformed},
		"signature huge":   {set(webhook.HeaderSignature, strings.Repeat(v1+" ", 1<<14)), webhook.ErrMalformed},
		"signature wrong":  {set(webhook.HeaderSignature, v1), webhook.ErrMismatch},
		"signature cut":    {func(h http.Header) { h.Set(webhook.HeaderSignature, h.Get(webhook.HeaderSignature)[:20]) }, webhook.ErrMismatch},
		"version alone":    {set(webhook.HeaderSignature, "v1,"), webhook.ErrMismatch},
		"version v2":       {prefix(webhook.HeaderSignature, "v1,", "v2,"), webhook.ErrMismatch},
		"version v1a":      {prefix(webhook.HeaderSignature, "v1,", "v1a,"), webhook.ErrMismatch},
		"version V1":       {prefix(webhook.HeaderSignature, "v1,", "V1,"), webhook.ErrMismatch},
		"version left out": {prefix(webhook.HeaderSignature, "v1,", ""), webhook.ErrMismatch},
		"padding left out": {func(h http.Header) {
			h.Set(webhook.HeaderSignature, strings.TrimRight(h.Get(webhook.HeaderSignature), "="))
		}, webhook.ErrMismatch},
		"other spelling of base64": {otherTrailingBits, webhook.ErrMismatch},
		"several, ours last":       {func(h http.Header) { h.Set(webhook.HeaderSignature, v1+" v2,x  junk "+h.Get(webhook.HeaderSignature)) }, nil},
		"several, ours first":      {func(h http.Header) { h.Set(webhook.HeaderSignature, h.Get(webhook.HeaderSignature)+" "+v1) }, nil},
		"several, with commas":     {func(h http.Header) { h.Set(webhook.HeaderSignature, v1+", "+h.Get(webhook.HeaderSignature)) }, nil},
		"joined without a space":   {func(h http.Header) { h.Set(webhook.HeaderSignature, v1+h.Get(webhook.HeaderSignature)) }, webhook.ErrMismatch},

		"id twice":                   {func(h http.Header) { h.Add(webhook.HeaderID, "evt_1") }, webhook.ErrMalformed},
		"timestamp twice":            {func(h http.Header) { h.Add(webhook.HeaderTimestamp, "1790000000") }, webhook.ErrMalformed},
		"signature twice":            {func(h http.Header) { h.Add(webhook.HeaderSignature, v1) }, webhook.ErrMalformed},
		"hex twice":                  {func(h http.Header) { h.Add(webhook.HeaderHexSignature, strings.Repeat("0", 64)) }, webhook.ErrMalformed},
		"id twice, in two spellings": {func(h http.Header) { h["WEBHOOK-ID"] = []string{"evt_2"} }, webhook.ErrMalformed},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			h := sign(t, "evt_1", sentAt, body, standardSecret)
			tt.change(h)
			event, err := newVerifier(t, []string{standardSecret}).Verify(h, []byte(body))
			if !errors.Is(err, tt.want) {
				t.Fatalf("got %v, want %v", err, tt.want)
			}
			if err != nil && !cmp.Equal(event, webhook.Event{}) {
				t.Errorf("a refused delivery gives an event: %+v", event)
			}
			if err == nil && event.ID != "evt_1" {
				t.Errorf("id %q", event.ID)
			}
		})
	}
}

func prefix(name, from, to string) func(http.Header) {
	return func(h http.Header) { h.Set(name, to+strings.TrimPrefix(h.Get(name), from)) }
}

// otherTrailingBits sets the two bits of the last base64 character that decoders ignore: the same
// digest in another spelling, which must not pass as a second valid signature.
func otherTrailingBits(h http.Header) {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	s := []byte(h.Get(webhook.HeaderSignature))
	last := len(s) - 2 // before the one "="
	s[last] = alphabet[strings.IndexByte(alphabet, s[last])|1]
	h.Set(webhook.HeaderSignature, string(s))
}

func TestVerifyTimestamp(t *testing.T) {
	tests := map[string]struct {
		offset    time.Duration // of the attempt against the clock
		tolerance time.Duration
		want      error
	}{
		"now":                    {0, webhook.DefaultTolerance, nil},
		"exactly the tolerance":  {-5 * time.Minute, webhook.DefaultTolerance, nil},
		"too old":                {-5*time.Minute - time.Second, webhook.DefaultTolerance, webhook.ErrTimestamp},
		"ahead by the tolerance": {5 * time.Minute, webhook.DefaultTolerance, nil},
		"too far ahead":          {5*time.Minute + time.Second, webhook.DefaultTolerance, webhook.ErrTimestamp},
		"years old":              {-50 * 365 * 24 * time.Hour, webhook.DefaultTolerance, webhook.ErrTimestamp},
		"wider tolerance":        {-time.Hour, 2 * time.Hour, nil},
		"narrower tolerance":     {-2 * time.Second, time.Second, webhook.ErrTimestamp},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			v := newVerifier(t, []string{standardSecret}, webhook.WithTolerance(tt.tolerance))
			_, err := v.Verify(sign(t, "evt_1", sentAt.Add(tt.offset), body, standardSecret), []byte(body))
			if !errors.Is(err, tt.want) {
				t.Fatalf("got %v, want %v", err, tt.want)
			}
		})
	}
}

// TestVerifySecrets plays the rotations of the contract, 10.3, and the attempts to get round the timestamp.
func TestVerifySecrets(t *testing.T) {
	bare := func(h http.Header) {
		h.Del(webhook.HeaderID)
		h.Del(webhook.HeaderTimestamp)
		h.Del(webhook.HeaderSignature)
	}
	hexNow := func(change func(string) string) func(http.Header) {
		return func(h http.Header) { h.Set(webhook.HeaderHexSignature, change(h.Get(webhook.HeaderHexSignature))) }
	}
	tests := map[string]struct {
		signed   []string // the sender's secrets, present one first
		change   func(http.Header)
		receiver []string
		opts     []webhook.Option
		want     error
	}{
		"another secret":                    {[]string{standardSecret}, nil, []string{otherStandard}, nil, webhook.ErrMismatch},
		"receiver knows the next one too":   {[]string{standardSecret}, nil, []string{otherStandard, standardSecret}, nil, nil},
		"rotated, receiver knows the old":   {[]string{otherStandard, standardSecret}, nil, []string{standardSecret}, nil, nil},
		"rotated, receiver knows the new":   {[]string{otherStandard, standardSecret}, nil, []string{otherStandard}, nil, nil},
		"rotated away from the receiver":    {[]string{otherStandard}, nil, []string{standardSecret, importedSecret}, nil, webhook.ErrMismatch},
		"imported":                          {[]string{importedSecret}, nil, []string{importedSecret}, nil, nil},
		"imported, another":                 {[]string{importedSecret}, nil, []string{"another"}, nil, webhook.ErrMismatch},
		"imported, receiver has both":       {[]string{importedSecret}, nil, []string{standardSecret, importedSecret}, nil, nil},
		"imported to whsec, old receiver":   {[]string{standardSecret, importedSecret}, nil, []string{importedSecret}, nil, nil},
		"imported to whsec, receiver both":  {[]string{standardSecret, importedSecret}, nil, []string{standardSecret, importedSecret}, nil, nil},
		"imported, and timestamps required": {[]string{importedSecret}, nil, []string{standardSecret, importedSecret}, []webhook.Option{webhook.RequireTimestamp(true)}, webhook.ErrMissing},
		"hex header in upper case":          {[]string{importedSecret}, hexNow(strings.ToUpper), []string{importedSecret}, nil, webhook.ErrMalformed},
		"hex header too short":              {[]string{importedSecret}, hexNow(func(s string) string { return s[:63] }), []string{importedSecret}, nil, webhook.ErrMalformed},
		"hex header with sha256=":           {[]string{importedSecret}, hexNow(func(s string) string { return "sha256=" + s }), []string{importedSecret}, nil, webhook.ErrMalformed},
		"hex header with a space":           {[]string{importedSecret}, hexNow(func(s string) string { return s + " " }), []string{importedSecret}, nil, webhook.ErrMalformed},
		"hex header empty":                  {[]string{importedSecret}, hexNow(func(string) string { return "" }), []string{importedSecret}, nil, webhook.ErrMalformed},
		"hex header huge":                   {[]string{importedSecret}, hexNow(func(s string) string { return strings.Repeat(s, 1<<14) }), []string{importedSecret}, nil, webhook.ErrMalformed},
		"hex header of the wrong secret":    {[]string{importedSecret}, hexNow(func(string) string { return strings.Repeat("0", 64) }), []string{importedSecret}, nil, webhook.ErrMismatch},

		"whsec, stripped":                      {[]string{standardSecret}, bare, []string{standardSecret}, nil, webhook.ErrMissing},
		"whsec, stripped, receiver has both":   {[]string{standardSecret}, bare, []string{standardSecret, importedSecret}, nil, webhook.ErrMismatch},
		"whsec, stripped, explicitly required": {[]string{standardSecret}, bare, []string{standardSecret}, []webhook.Option{webhook.RequireTimestamp(true)}, webhook.ErrMissing},
		"whsec, stripped, allowed":             {[]string{standardSecret}, bare, []string{standardSecret}, []webhook.Option{webhook.RequireTimestamp(false)}, nil},
		"whsec, old, not stripped, allowed": {[]string{standardSecret}, func(h http.Header) { h.Set(webhook.HeaderTimestamp, "1700000000") },
			[]string{standardSecret}, []webhook.Option{webhook.RequireTimestamp(false)}, webhook.ErrTimestamp},
		"whsec, wrong signature, good hex, allowed": {[]string{standardSecret}, func(h http.Header) { h.Set(webhook.HeaderSignature, "v1,AAAA") },
			[]string{standardSecret}, []webhook.Option{webhook.RequireTimestamp(false)}, webhook.ErrMismatch},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			h := sign(t, "evt_1", sentAt, body, tt.signed...)
			if tt.change != nil {
				tt.change(h)
			}
			_, err := newVerifier(t, tt.receiver, tt.opts...).Verify(h, []byte(body))
			if !errors.Is(err, tt.want) {
				t.Fatalf("got %v, want %v", err, tt.want)
			}
		})
	}
}

// TestVerifyChangedByte: no single changed bit of the body passes, under either scheme.
func TestVerifyChangedByte(t *testing.T) {
	strict := newVerifier(t, []string{standardSecret})
	imported := newVerifier(t, []string{importedSecret})
	rapid.Check(t, func(rt *rapid.T) {
		changed := []byte(body)
		changed[rapid.IntRange(0, len(changed)-1).Draw(rt, "byte")] ^= 1 << rapid.IntRange(0, 7).Draw(rt, "bit")
		if _, err := strict.Verify(sign(t, "evt_1", sentAt, body, standardSecret), changed); !errors.Is(err, webhook.ErrMismatch) {
			rt.Fatalf("standard: %v", err)
		}
		if _, err := imported.Verify(sign(t, "evt_1", sentAt, body, importedSecret), changed); !errors.Is(err, webhook.ErrMismatch) {
			rt.Fatalf("hex: %v", err)
		}
	})
}

// TestVerifyBody: bodies with a genuine signature that are events, or are not.
func TestVerifyBody(t *testing.T) {
	one := "one"
	tests := map[string]struct {
		body string
		want webhook.Event // ID, Timestamp are the delivery's
		err  error
	}{
		"empty":           {"", webhook.Event{}, webhook.ErrBody},
		"not JSON":        {"hello", webhook.Event{}, webhook.ErrBody},
		"two documents":   {body + body, webhook.Event{}, webhook.ErrBody},
		"not an object":   {"[]", webhook.Event{}, webhook.ErrBody},
		"null":            {"null", webhook.Event{}, webhook.ErrBody},
		"no event type":   {`{"job_id":"job_1"}`, webhook.Event{}, webhook.ErrBody},
		"no job id":       {`{"event_type":"generation.failed"}`, webhook.Event{}, webhook.ErrBody},
		"wrong type":      {`{"event_type":"generation.failed","job_id":7}`, webhook.Event{}, webhook.ErrBody},
		"unknown event":   {`{"event_type":"endpoint.disabled"}`, webhook.Event{EventType: "endpoint.disabled", Outputs: []webhook.Output{}, Metadata: json.RawMessage("{}")}, nil},
		"null everywhere": {`{"event_type":"generation.failed","job_id":"j","source_asset_id":null,"reference":null,"outputs":null,"failure":null,"metadata":null}`, webhook.Event{EventType: "generation.failed", JobID: "j", Outputs: []webhook.Output{}, Metadata: json.RawMessage("{}")}, nil},
		"metadata kept as sent, unknown keys left out": {
			`{"event_type":"generation.failed","job_id":"j","reference":"one","failure":{"code":"timeout","message":"m","retryable":true},"metadata":{ "b":1.0, "a":9007199254740993 },"new":1}`,
			webhook.Event{EventType: "generation.failed", JobID: "j", Reference: &one, Outputs: []webhook.Output{},
				Failure: &webhook.Failure{Code: "timeout", Message: "m", Retryable: true}, Metadata: json.RawMessage(`{ "b":1.0, "a":9007199254740993 }`)}, nil,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := newVerifier(t, []string{standardSecret}).Verify(sign(t, "evt_1", sentAt, tt.body, standardSecret), []byte(tt.body))
			if !errors.Is(err, tt.err) {
				t.Fatalf("got %v, want %v", err, tt.err)
			}
			if err == nil {
				tt.want.ID, tt.want.Timestamp = "evt_1", sentAt.UTC()
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestNewVerifierRefuses(t *testing.T) {
	tests := map[string]struct {
		secrets []string
		opts    []webhook.Option
	}{
		"no secret":                  {nil, nil},
		"empty secret":               {[]string{standardSecret, ""}, nil},
		"prefix alone":               {[]string{"whsec_"}, nil},
		"line break from a file":     {[]string{standardSecret + "\n"}, nil},
		"space in front":             {[]string{" " + importedSecret}, nil},
		"no tolerance":               {[]string{standardSecret}, []webhook.Option{webhook.WithTolerance(0)}},
		"nil clock":                  {[]string{standardSecret}, []webhook.Option{webhook.WithClock(nil)}},
		"no body":                    {[]string{standardSecret}, []webhook.Option{webhook.WithMaxBody(0)}},
		"timestamps nobody can sign": {[]string{importedSecret}, []webhook.Option{webhook.RequireTimestamp(true)}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			v, err := webhook.NewVerifier(tt.secrets, tt.opts...)
			if err == nil || v != nil {
				t.Fatalf("got %v, %v; want an error", v, err)
			}
			for _, secret := range tt.secrets {
				if secret := strings.TrimSpace(secret); len(secret) > len("whsec_") && strings.Contains(err.Error(), secret) {
					t.Errorf("the error shows a secret: %v", err)
				}
			}
		})
	}
}

func TestVerifierPrintsNoSecret(t *testing.T) {
	v := newVerifier(t, []string{standardSecret, importedSecret})
	printed := fmt.Sprintf("%v %+v %#v %s %v %+v %#v", v, v, v, v, *v, *v, *v)
	for _, secret := range []string{standardSecret, importedSecret, fmt.Sprintf("%v", []byte(importedSecret)), fmt.Sprintf("%x", importedSecret), fmt.Sprintf("%#v", []byte(importedSecret))} {
		if strings.Contains(printed, secret) {
			t.Fatalf("%q shows %q", printed, secret)
		}
	}
}
