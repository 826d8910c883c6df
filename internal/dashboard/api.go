package dashboard

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"

	"github.com/kinora/kinora"
)

// API answers requests of the public API for an organisation as its keys' are answered, so that what people do is checked,
// counted and priced by the same code.
type API interface {
	// Call has the request answered, as the actor's, and returns the answer's header and body.
	//
	// Errors: what the answer refuses, as a *kinora.Error that names the field where it is known.
	Call(r *http.Request, actor kinora.Actor, organisationID string) (http.Header, []byte, error)
	// Pass has it answered to w as the answer comes, such as a long file. Errors as of Call; nothing has been written then.
	Pass(w http.ResponseWriter, r *http.Request, actor kinora.Actor, organisationID string) error
}

// call sends a request of the public API for the visit's organisation. body is sent as JSON, nil = none; key is its idempotency key,
// empty = none.
func (v *visit) call(ctx context.Context, method, path, key string, body any) ([]byte, error) {
	if body == nil {
		return v.send(ctx, method, path, key, "", http.NoBody)
	}
	text, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	return v.send(ctx, method, path, key, "application/json", bytes.NewReader(text))
}

// send is call for a body that is written already.
func (v *visit) send(ctx context.Context, method, path, key, contentType string, body io.Reader) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, method, path, body)
	if err != nil {
		return nil, err
	}
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	if key != "" {
		r.Header.Set("Idempotency-Key", key)
	}
	actor, _ := kinora.ActorOf(ctx)
	_, answer, err := v.cfg.API.Call(r, actor, v.organisation.ID)
	return answer, err
}
