package vidu

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"testing"
	"time"

	"github.com/kinora/kinora/provider"
	"github.com/kinora/kinora/provider/providertest"
)

// The vectors of the documented scheme: key, date and nonce are the same in both.
const (
	vectorDate  = "Tue, 06 May 2025 12:09:42 GMT"
	vectorNonce = "123e4567-e89b-12d3-a456-426614174000"
	vectorPath  = "sPdkeqZnXu2ep4Q9zY4BSgKsAkTg9ZCKO86Mpx91ixU="
	vectorQuery = "NPh3qkvh2qDB3e8NbcSL4lpYvLveDSUkfJug6u/K46g="
)

var vectorTime = time.Date(2025, 5, 6, 12, 9, 42, 0, time.UTC)

const callbackBody = `{"id":"860000000000000001","state":"success","err_code":"","credits":20,"payload":"` + ref + `","creations":[{"id":"c1","url":"https://cdn.example/v.mp4"}]}`

func signed(path, query, signature, body string) provider.InboundCallback {
	h := http.Header{}
	h.Set("Date", vectorDate)
	h.Set("x-request-nonce", vectorNonce)
	h.Set("X-HMAC-SIGNED-HEADERS", "Date;x-request-nonce")
	h.Set("X-HMAC-SIGNATURE", signature)
	h.Set("X-HMAC-ALGORITHM", "hmac-sha256")
	h.Set("X-HMAC-ACCESS-KEY", "vidu")
	h.Set("Content-Type", "application/json")
	return provider.InboundCallback{Method: "POST", Path: path, Query: query, Header: h, Body: []byte(body), Arrived: vectorTime}
}

func arriving(in provider.InboundCallback, after time.Duration) provider.InboundCallback {
	in.Arrived = in.Arrived.Add(after)
	return in
}

func callbacks() []providertest.CallbackCase {
	hint := provider.Callback{UpstreamID: taskID, Verified: true, Hint: true, Delivery: vectorNonce}
	good := signed("/cb/vidu/JOBTOKEN", "", vectorPath, callbackBody)
	volatile := []string{"Content-Type"}
	get := good
	get.Method = "PUT"
	noPath := good
	noPath.Path = ""
	return []providertest.CallbackCase{
		{Name: "signed", In: good, Want: hint, Tamper: true, BodyUnsigned: true, VolatileHeaders: volatile},
		{Name: "with a query", In: signed("/vidu/callback", "name=james&age=36", vectorQuery, callbackBody), Want: hint, Tamper: true, BodyUnsigned: true, VolatileHeaders: volatile},
		{Name: "the query sorted", In: signed("/vidu/callback", "age=36&name=james", vectorQuery, callbackBody), Class: provider.Credential},
		{Name: "another path", In: signed("/cb/vidu/OTHERTOKEN", "", vectorPath, callbackBody), Class: provider.Credential},
		{Name: "another method", In: get, Class: provider.Credential},
		{Name: "no path", In: noPath, Class: provider.Credential},
		{Name: "another key", In: good, Settings: map[string]string{SettingAPIKey: "vda_someone_else"}, Class: provider.Credential},
		{Name: "an old key", In: good, Settings: map[string]string{SettingAPIKey: "vda_new_secret", SettingOldKeys: "vda_first_secret, " + testKey + ","}, Want: hint},
		{Name: "no key at all", In: good, Settings: map[string]string{SettingAPIKey: "", SettingOldKeys: ""}, Class: provider.Credential},
		{Name: "four minutes old", In: arriving(good, 4*time.Minute), Want: hint},
		{Name: "four minutes ahead", In: arriving(good, -4*time.Minute), Want: hint},
		{Name: "six minutes old", In: arriving(good, 6*time.Minute), Class: provider.Credential},
		{Name: "an older body without an id", In: signed("/cb/vidu/JOBTOKEN", "", vectorPath, `{"state":"processing","err_code":"","payload":"","creations":[]}`), Want: provider.Callback{Verified: true, Delivery: vectorNonce}},
		{Name: "an older end without an id", In: signed("/cb/vidu/JOBTOKEN", "", vectorPath, `{"state":"failed","err_code":"x","payload":"","creations":[]}`), Want: provider.Callback{Verified: true, Hint: true, Delivery: vectorNonce}},
		{Name: "the id as a number", In: signed("/cb/vidu/JOBTOKEN", "", vectorPath, `{"id":860000000000000001,"state":"processing"}`), Want: provider.Callback{UpstreamID: taskID, Verified: true, Delivery: vectorNonce}},
		{Name: "a word that nobody documents", In: signed("/cb/vidu/JOBTOKEN", "", vectorPath, `{"id":860000000000000001,"state":"scheduled"}`), Want: hint},
		{Name: "no JSON", In: signed("/cb/vidu/JOBTOKEN", "", vectorPath, `success`), Class: provider.Invalid},
	}
}

// The signing text of the vendor's sample, byte for byte; a path that is missing is "/".
func TestSigningText(t *testing.T) {
	in := signed("/vidu/callback", "name=james&age=36", "", "")
	want := "POST\n/vidu/callback\nname=james&age=36\nvidu\n" + vectorDate + "\nDate:" + vectorDate + "\nx-request-nonce:" + vectorNonce + "\n"
	if got := signingText(in, vectorDate); got != want {
		t.Errorf("signs %q, want %q", got, want)
	}
	in.Path, in.Query = "", ""
	if got := signingText(in, vectorDate); got[:9] != "POST\n/\n\nv" {
		t.Errorf("signs %q", got)
	}
}

// A nonce that the signature leaves out names nothing: whoever replays the call could change it.
func TestNonceOutsideTheSignature(t *testing.T) {
	for names, want := range map[string]string{"Date;x-request-nonce": vectorNonce, "X-Request-Nonce": vectorNonce, "Date": "", "": ""} {
		in := signed("/cb/vidu/JOBTOKEN", "", "", callbackBody)
		in.Header.Set("X-HMAC-SIGNED-HEADERS", names)
		mac := hmac.New(sha256.New, []byte(testKey))
		mac.Write([]byte(signingText(in, vectorDate)))
		in.Header.Set("X-HMAC-SIGNATURE", base64.StdEncoding.EncodeToString(mac.Sum(nil)))
		got, err := New().VerifyCallback(provider.Upstream{Account: account}, in)
		if err != nil || got.Delivery != want {
			t.Errorf("signed headers %q: %+v, error %v; want the name %q", names, got, err, want)
		}
	}
}

func FuzzVerifyCallback(f *testing.F) {
	f.Add(vectorDate, "Date;x-request-nonce", vectorPath, callbackBody)
	f.Add("", ";;Date", "AAAA", `{"id":1}`)
	up := provider.Upstream{Account: account}
	f.Fuzz(func(t *testing.T, date, names, signature, body string) {
		in := signed("/cb/vidu/JOBTOKEN", "", signature, body)
		in.Header.Set("Date", date)
		in.Header.Set("X-HMAC-SIGNED-HEADERS", names)
		got, err := New().VerifyCallback(up, in)
		if (err == nil) != got.Verified || got.Answer != nil {
			t.Errorf("callback %+v, error %v", got, err)
		}
		if err == nil && date != vectorDate {
			t.Errorf("taken with date %q", date)
		}
	})
}
