package kling

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/kinora/kinora/provider"
	"github.com/kinora/kinora/provider/providertest"
)

// The vendor's own test vector.
const (
	vectorBody = `{"id":"1234567890","status":"succeeded","message":"","create_time":1781080778802,"update_time":1781080794151}`
	vectorSig  = "v1,UsKlJP00XoQyOn410NM9xv34sP+Gl0jnOO9Lcpr7NJ4="
	vectorTime = 1781080794
)

func vector() provider.InboundCallback {
	return provider.InboundCallback{Method: "POST", Body: []byte(vectorBody), Arrived: time.Unix(vectorTime+60, 0), Header: http.Header{
		"Webhook-Id": {"9876543210"}, "Webhook-Timestamp": {strconv.Itoa(vectorTime)}, "Webhook-Signature": {vectorSig},
	}}
}

const flatBody = `{"task_id":"` + taskID + `","task_status":"succeed","task_status_msg":"","created_at":1785901861504,"task_info":{"external_task_id":"` + external + `"},` +
	`"task_result":{"videos":[{"id":"v-1","url":"https://cdn.example/v.mp4","duration":"5.1"}]}}`

// sign signs a body with a secret as Kling documents it.
func sign(secret string, in provider.InboundCallback) provider.InboundCallback {
	key, err := base64.StdEncoding.DecodeString(secret[len("whsec_"):])
	if err != nil {
		panic(err)
	}
	sent := strconv.FormatInt(in.Arrived.Unix(), 10)
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte("msg_1." + sent + "." + string(in.Body)))
	in.Header = http.Header{"Webhook-Id": {"msg_1"}, "Webhook-Timestamp": {sent}, "Webhook-Signature": {"v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))}}
	return in
}

func flat() provider.InboundCallback {
	return provider.InboundCallback{Method: "POST", Body: []byte(flatBody), Arrived: time.Unix(vectorTime, 0), Header: http.Header{}}
}

const newerSecret = "whsec_bmV3ZXJuZXdlcm5ld2VybmV3ZXJuZXdlcm5ld2Vy"

func modernCallbacks() []providertest.CallbackCase {
	unsigned := vector()
	unsigned.Header = http.Header{}
	rotated := sign(newerSecret, vector())
	both := vector()
	both.Header.Set("Webhook-Signature", "v1,AAAA "+vectorSig)
	none := map[string]string{SettingWebhookSecret: ""}
	good := provider.Callback{UpstreamID: "1234567890", Verified: true, Hint: true}
	return []providertest.CallbackCase{
		{Name: "the vendor's vector", In: vector(), Want: good, Tamper: true},
		{Name: "two signatures of a rotation", In: both, Want: good},
		{Name: "the newer of two secrets", In: rotated, Settings: map[string]string{SettingWebhookSecret: hookSecret + " " + newerSecret}, Want: good},
		{Name: "the older of two secrets", In: vector(), Settings: map[string]string{SettingWebhookSecret: newerSecret + "," + hookSecret}, Want: good},
		{Name: "another's secret", In: rotated, Class: provider.Credential},
		{Name: "a secret that is none", In: vector(), Settings: map[string]string{SettingWebhookSecret: "whsec_%%%%%%%%"}, Class: provider.Credential},
		{Name: "unsigned", In: unsigned, Class: provider.Credential},
		{Name: "unsigned, without a secret", In: unsigned, Settings: none, Want: provider.Callback{UpstreamID: "1234567890", Hint: true}},
	}
}

func legacyCallbacks() []providertest.CallbackCase {
	none := map[string]string{SettingWebhookSecret: ""}
	set := map[string]string{SettingWebhookSecret: hookSecret}
	broken := flat()
	broken.Body = []byte(`{"state":"?"}`)
	return []providertest.CallbackCase{
		{Name: "unsigned", In: flat(), Settings: set, Want: provider.Callback{Hint: true}},
		{Name: "signed", In: sign(hookSecret, flat()), Settings: set, Want: provider.Callback{Verified: true, Hint: true}},
		{Name: "signed by another", In: sign(newerSecret, flat()), Settings: set, Class: provider.Credential},
		{Name: "unreadable", In: broken, Settings: none, Class: provider.Invalid},
	}
}

func TestToken(t *testing.T) {
	got := token("ak_test", "sk_test", time.Unix(1700000000, 0))
	const want = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJha190ZXN0IiwiZXhwIjoxNzAwMDAxODAwLCJuYmYiOjE2OTk5OTk5OTV9.eDa_F6Qhv7yHoYstKBIL6uubYWDLHLekl_49ClsUCf4"
	if got != want {
		t.Errorf("token %s", got)
	}
}

// An account of two keys cannot serve the newer family, and is not parked for it.
func TestTheNewerFamilyNeedsAnAPIKey(t *testing.T) {
	u := providertest.NewUpstream(t)
	_, err := New().Submit(t.Context(), u.With(pair), video("kling-3.0", 0))
	var e *provider.Error
	if !errors.As(err, &e) || e.Class != provider.ModelGone || len(u.Take()) != 0 {
		t.Errorf("error %v", err)
	}
}

// A reference of the caller's may belong to an older task: that one is not taken over, and
// a second use of it is the caller's mistake.
func TestCallersOwnReference(t *testing.T) {
	u := providertest.NewUpstream(t)
	for _, model := range []string{"kling-v2-6", "kling-3.0"} {
		req := video(model, 0, "external_task_id", `"order-17"`)
		data := func(created string) string {
			if model == "kling-3.0" {
				return `[{"id":"7","status":"processing","external_id":"order-17","create_time":` + created + `}]`
			}
			return `{"task_id":"7","task_status":"processing","task_info":{"external_task_id":"order-17"},"created_at":` + created + `}`
		}
		u.Answer(said(200, 0, "SUCCEED", data("1785901861503")))
		if _, err := New().Reconcile(t.Context(), u.With(keyed), req); !errors.Is(err, provider.ErrUncertain) {
			t.Errorf("%s: an older task: %v", model, err)
		}
		u.Answer(said(200, 0, "SUCCEED", data("1785901861504")))
		if got, err := New().Reconcile(t.Context(), u.With(keyed), req); err != nil || got.UpstreamID != "7" {
			t.Errorf("%s: its own task: %+v, %v", model, got, err)
		}
		u.Answer(said(400, 1201, "external_task_id already exists", ""))
		_, err := New().Submit(t.Context(), u.With(keyed), req)
		var e *provider.Error
		if !errors.As(err, &e) || e.Class != provider.Invalid || e.Message != "the upstream refused input.metadata.external_task_id" {
			t.Errorf("%s: used twice: %v", model, err)
		}
	}
}

// The second attempt of a generation has a reference of its own.
func TestReferencesOfAttempts(t *testing.T) {
	req := video("kling-v1", 0)
	first, own := externalID(req)
	req.ClientRef = external + "_1"
	second, _ := externalID(req)
	if first != external || second != external+"_1" || !own {
		t.Errorf("references %s and %s", first, second)
	}
}

// A task of the older family without its path cannot be read; nothing is asked.
func TestLegacyTaskWithoutItsPath(t *testing.T) {
	u := providertest.NewUpstream(t)
	_, err := New().Poll(t.Context(), u.With(keyed), []provider.Job{{UpstreamID: "7", UpstreamModel: "kling-v1"}})
	if err == nil || len(u.Take()) != 0 {
		t.Errorf("error %v", err)
	}
}

func FuzzCallback(f *testing.F) {
	f.Add([]byte(vectorBody))
	f.Add([]byte(flatBody))
	f.Add([]byte(`{"id":7,"status":null,"outputs":{}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := New().VerifyCallback(provider.Upstream{}, provider.InboundCallback{Body: body})
		if err == nil && (!got.Hint || got.Verified) {
			t.Errorf("%q means %+v", body, got)
		}
	})
}
