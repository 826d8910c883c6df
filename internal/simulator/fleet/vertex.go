package fleet

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"

	"github.com/kinora/kinora/internal/simulator/google"
)

const (
	vertexProject = "simulated-project"
	vertexEmail   = "kinora@simulated-project.iam.gserviceaccount.com"
)

// vertex is a simulated Google that is reached as Vertex AI is: with a service account, whose key is made at each start.
type vertex struct {
	*google.Simulator
	key []byte // PKCS #8
}

func startVertex(o Options) (server, func() Activity, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, err
	}
	s, err := google.New(google.Config{
		Accounts:  []google.Account{{Project: vertexProject, Email: vertexEmail, PublicKey: &key.PublicKey}},
		VideoTime: o.JobTime, ImageTime: o.JobTime,
	})
	if err != nil {
		return nil, nil, err
	}
	return &vertex{s, der}, activityOfGoogle(s), nil
}

// settings are those of the project's account at the address where it is served.
func (v *vertex) settings(url string) map[string]string {
	account, _ := json.Marshal(map[string]string{ // texts, which can always be marshalled
		"type": "service_account", "project_id": vertexProject, "client_email": vertexEmail, "token_uri": url + "/token",
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: v.key})),
	})
	return map[string]string{"service_account": string(account), "location": "us-central1", "storage_uri": "gs://simulated/kinora", "storage_url": url}
}
