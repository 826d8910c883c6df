package kling

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/kinora/kinora"
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
	return provider.InboundCallback{
		Method: "POST", Body: []byte(flatBody), Arrived: time.Unix(vectorTime, 0), Header: http.Header{}, UpstreamModel: "kling-v1",
	}
}

func about(model string, in provider.InboundCallback) provider.InboundCallback {
	in.UpstreamModel = model
	return in
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
		{Name: "unsigned, about the older family's", In: about("kling-v1", unsigned), Class: provider.Credential},
		{Name: "unsigned, without a secret", In: unsigned, Settings: none, Want: provider.Callback{UpstreamID: "1234567890", Hint: true}},
	}
}

func legacyCallbacks() []providertest.CallbackCase {
	none := map[string]string{SettingWebhookSecret: ""}
	set := map[string]string{SettingWebhookSecret: hookSecret}
	half := flat()
	half.Header = http.Header{"Webhook-Id": {"1"}}
	broken := flat()
	broken.Body = []byte(`{"state":"?"}`)
	return []providertest.CallbackCase{
		{Name: "unsigned", In: flat(), Settings: set, Want: provider.Callback{UpstreamID: taskID, Hint: true}},
		{Name: "unsigned, about the newer family's", In: about("kling-3.0", flat()), Settings: set, Class: provider.Credential},
		{Name: "half signed", In: half, Settings: set, Class: provider.Credential},
		{Name: "signed", In: sign(hookSecret, flat()), Settings: set, Want: provider.Callback{UpstreamID: taskID, Verified: true, Hint: true}},
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
		if !errors.As(err, &e) || e.Class != provider.Invalid || e.Message != "input.metadata.external_task_id must not have been used before" {
			t.Errorf("%s: used twice: %v", model, err)
		}
	}
}

// The second attempt of a generation has a reference of its own.
func TestReferencesOfAttempts(t *testing.T) {
	req := video("kling-v1", 0)
	first, ours := externalID(req)
	req.ClientRef = external + "_1"
	second, _ := externalID(req)
	if first != external || second != external+"_1" || !ours {
		t.Errorf("references %s and %s", first, second)
	}
}

// A task that was made for another attempt is not this one's, whatever named it.
func TestForeignTasksAreNotShown(t *testing.T) {
	u := providertest.NewUpstream(t)
	const other = "task_01HF8Z3KQX2A6Y4N3R8M5W7V9Q"
	for _, c := range []struct {
		external, handle string
		want             int
	}{
		{external, "", 1}, {"", "", 1}, {"order-17", "", 1}, {other, "", 0}, {external + "_1", "", 0}, {other, `,"own_reference":true`, 1},
	} {
		for _, model := range []string{"kling-v2-6", "kling-3.0"} {
			data := `{"task_id":"7","task_status":"processing","task_info":{"external_task_id":"` + c.external + `"}}`
			if model == "kling-3.0" {
				data = `[{"id":"7","status":"processing","external_id":"` + c.external + `"}]`
			}
			u.Answer(said(200, 0, "SUCCEED", data))
			reports, err := New().Poll(t.Context(), u.With(keyed), []provider.Job{{
				UpstreamID: "7", UpstreamModel: model, Kind: kinora.KindVideo, ClientRef: ref, Handle: json.RawMessage(`{"path":"` + textToVideo + `"` + c.handle + `}`),
			}})
			if err != nil || len(reports) != c.want {
				t.Errorf("%s, reference %q: %d reports, error %v; want %d", model, c.external, len(reports), err, c.want)
			}
		}
	}
}

// Images are made by the older family, of whatever model; one that looks like the newer
// family's is left out of a call for many, and read alone.
func TestImagesAmongOthers(t *testing.T) {
	u := providertest.NewUpstream(t)
	picture := provider.Job{UpstreamID: "8", UpstreamModel: "kling-9", Kind: kinora.KindImage, Handle: json.RawMessage(`{"path":"` + imageRoute + `"}`)}
	film := provider.Job{UpstreamID: "7", UpstreamModel: "kling-9", Kind: kinora.KindVideo}
	u.Answer(said(200, 0, "SUCCEED", `[{"id":"7","status":"processing"}]`))
	reports, err := New().Poll(t.Context(), u.With(keyed), []provider.Job{picture, film})
	if asked := u.Take(); err != nil || len(reports) != 1 || reports[0].UpstreamID != "7" || asked[0].Target != "/tasks?task_ids=7" {
		t.Errorf("%+v, %v, asked for %v", reports, err, asked)
	}
	u.Answer(said(200, 0, "SUCCEED", `{"task_id":"8","task_status":"processing"}`))
	reports, err = New().Poll(t.Context(), u.With(keyed), []provider.Job{picture, picture})
	if asked := u.Take(); err != nil || len(reports) != 1 || reports[0].UpstreamID != "8" || asked[0].Target != imageRoute+"/8" {
		t.Errorf("%+v, %v, asked for %v", reports, err, asked)
	}
}

// A list of nothing but what is no task is not taken for an empty one: the submit would
// be made again.
func TestReconcileBelievesOnlyAnEmptyList(t *testing.T) {
	u := providertest.NewUpstream(t)
	for data, certain := range map[string]bool{`[]`: true, `[{"status":"processing"}]`: false, `[null]`: false, `{}`: false, `null`: false, `[7]`: false} {
		u.Answer(said(200, 0, "SUCCEED", data))
		_, err := New().Reconcile(t.Context(), u.With(keyed), video("kling-3.0", 0))
		if errors.Is(err, provider.ErrNotSubmitted) != certain {
			t.Errorf("%s: %v", data, err)
		}
	}
}

// What Kling says of a field is told in the caller's words, and of a missing resource as
// far as it can be known.
func TestRefusalsNameWhatTheyAreAbout(t *testing.T) {
	u := providertest.NewUpstream(t)
	for _, c := range []struct {
		req     provider.Request
		code    int
		message string
		class   provider.Class
		says    string
	}{
		{video("kling-v1", 0, "cfg_scale", "0.5"), 1201, "illegal parameter value: cfg_scale", provider.Invalid, "the upstream refused input.metadata.cfg_scale"},
		{lasting(video("kling-3.0", 0), 5), 1201, "settings.duration is invalid", provider.Invalid, "the upstream refused input.duration"},
		{video("kling-3.0", 0, "settings", `{"duration":5}`), 1201, "duration is invalid", provider.Invalid, "the upstream refused input.metadata.settings.duration"},
		{sized(video("kling-3.0", 1), "16:9"), 1201, "first_frame: resolution too low", provider.Invalid, "the upstream refused the request"},
		{video("kling-v1", 0), 1201, "external_task_id is too long", provider.Invalid, "the upstream refused the request"},
		{video("kling-v1", 0), 1203, "model not found", provider.ModelGone, "the upstream does not offer the model"},
		{video("kling-v9", 0), 1203, "model not found", provider.Invalid, "the upstream does not know the model"},
		{video("kling-v3", 0, "voice_list", `[{"voice_id":"1"}]`), 1203, "not found", provider.Invalid, "or something else that the request names"},
		{video("kling-3.0", 1, "contents", `[{"type":"element","element_id":"1","id":"a"}]`), 1203, "not found", provider.Invalid, "or something else"},
		{picture("kling-v3", 0), 1203, "model not found", provider.ModelGone, "does not offer"},
		{video("kling-v1", 0), 1003, "x", provider.Credential, "clock is ahead"},
		{video("kling-v1", 0), 1004, "x", provider.Credential, "clock is behind"},
		{video("kling-v1", 0), 1304, "x", provider.Permission, "does not take calls from this address"},
	} {
		u.Answer(said(400, c.code, c.message, ""))
		_, err := New().Submit(t.Context(), u.With(keyed), c.req)
		var e *provider.Error
		if !errors.As(err, &e) || e.Class != c.class || !strings.Contains(e.Message, c.says) || e.Code != strconv.Itoa(c.code) || e.Detail != "request r-1: "+c.message {
			t.Errorf("%s %d %q: %+v", c.req.UpstreamModel, c.code, c.message, e)
		}
	}
	u.Answer(said(503, 5001, "maintenance", ""))
	_, err := New().Submit(t.Context(), u.With(keyed), video("kling-v1", 0))
	var e *provider.Error
	if !errors.As(err, &e) || e.Class != provider.OutcomeUnknown || e.Code != "5001" || e.Detail != "request r-1: maintenance" {
		t.Errorf("maintenance: %+v", e)
	}
}

// What a poll has to know comes along from the submit, or follows from the request.
func TestRoutes(t *testing.T) {
	for _, c := range []struct {
		req  provider.Request
		want string
	}{
		{video("kling-v1", 0), `{"path":"` + textToVideo + `"}`},
		{video("kling-v1", 1), `{"path":"` + imageToVideo + `"}`},
		{video("kling-v1-6", 0, "image_list", `[]`), `{"path":"` + imagesToVideo + `"}`},
		{video("kling-v2-6", 1, "video_url", `"https://img.example/v.mp4"`), `{"path":"` + motionControl + `"}`},
		{video("kling-video-o1", 0), `{"path":"` + omniVideo + `"}`},
		{picture("kling-v3", 1), `{"path":"` + imageRoute + `"}`},
		{picture("kling-v2-1", 2), `{"path":"` + imagesToImage + `"}`},
		{picture("kling-image-o1", 0), `{"path":"` + omniImage + `"}`},
		{picture("anything", 0), `{"path":"` + imageRoute + `"}`},
		{video("kling-v1", 0, "external_task_id", `"x"`), `{"path":"` + textToVideo + `","own_reference":true}`},
		{video("kling-3.0", 1), ""},
		{video("kling-3.0", 0, "options", `{"external_task_id":"x"}`), `{"own_reference":true}`},
	} {
		if got := string(New().Route(c.req)); got != c.want {
			t.Errorf("%s: %s, want %s", c.req.UpstreamModel, got, c.want)
		}
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

// A token that is refused for its time is signed once more, by the upstream's clock; then the refusal counts.
func TestTokenIsSignedOnceMore(t *testing.T) {
	u := providertest.NewUpstream(t)
	ahead := time.Now().Add(-time.Hour).UTC().Truncate(time.Second) // this machine's clock is an hour ahead
	issued := func(r providertest.Recorded) time.Time {
		var claims struct {
			NotBefore int64 `json:"nbf"`
		}
		parts := strings.Split(r.Header.Get("Authorization"), ".")
		if len(parts) != 3 {
			return time.Time{}
		}
		text, _ := base64.RawURLEncoding.DecodeString(parts[1])
		_ = json.Unmarshal(text, &claims)
		return time.Unix(claims.NotBefore, 0).Add(tokenBefore)
	}
	early := said(401, 1003, "not valid yet", "")
	early.Header = map[string]string{"Date": ahead.Format(http.TimeFormat)}
	accepts := func(r providertest.Recorded) providertest.Reply {
		if issued(r).After(ahead.Add(tokenBefore)) {
			return early
		}
		return said(200, 0, "SUCCEED", `{"task_id":"`+taskID+`","task_status":"submitted"}`)
	}
	req := video("kling-v1", 0)
	u.AnswerWith(accepts)
	if got, err := New().Submit(t.Context(), u.With(pair), req); err != nil || got.UpstreamID != taskID {
		t.Errorf("submit: %+v, error %v", got, err)
	}
	calls := u.Take()
	if len(calls) != 2 || !issued(calls[1]).Equal(ahead) || !bytes.Equal(calls[0].Body, calls[1].Body) {
		t.Errorf("%d calls, want the same twice, the second signed at %v", len(calls), ahead)
	}
	if got, err := New().Reconcile(t.Context(), u.With(pair), req); err != nil || got.UpstreamID != taskID || len(u.Take()) != 2 {
		t.Errorf("a read: %+v, error %v", got, err)
	}
	// One that says no more about the time, and one that says no again.
	for _, reply := range []providertest.Reply{early, said(401, 1004, "expired", "")} {
		u.Answer(reply)
		_, err := New().Submit(t.Context(), u.With(pair), req)
		if e := provider.AsError(err, ""); err == nil || e.Class != provider.Credential || len(u.Take()) != 2 {
			t.Errorf("refused twice: error %v", err)
		}
	}
	// What is refused for another reason, or with a key that has no time, is sent once.
	for _, c := range []struct {
		account provider.Account
		code    int
	}{{pair, 1000}, {pair, 1002}, {keyed, 1003}, {keyed, 1004}} {
		u.Answer(said(401, c.code, "no", ""))
		if _, err := New().Submit(t.Context(), u.With(c.account), req); err == nil {
			t.Errorf("%d went well", c.code)
		}
		if n := len(u.Take()); n != 1 {
			t.Errorf("%d calls for code %d, want one", n, c.code)
		}
	}
	// A second call whose answer is lost may have been taken.
	n := 0
	u.AnswerWith(func(providertest.Recorded) providertest.Reply {
		if n++; n == 1 {
			return early
		}
		return providertest.Reply{Cut: providertest.CutAnswer}
	})
	if _, err := New().Submit(t.Context(), u.With(pair), req); provider.AsError(err, "").Class != provider.OutcomeUnknown {
		t.Errorf("lost at the second call: %v", err)
	}
}
