package server

import (
	"testing"
	"time"

	"github.com/kinora/kinora"
)

// fakeCatalogue has one model and one workflow.
type fakeCatalogue struct{}

func (fakeCatalogue) model() kinora.ModelDescription {
	price := kinora.Money(350_000)
	return kinora.ModelDescription{Name: "kling-v1", Kind: kinora.KindVideo, Price: &price, Deadline: time.Hour, Callbacks: true}
}

func (c fakeCatalogue) Models() []kinora.ModelDescription {
	return []kinora.ModelDescription{c.model()}
}

func (c fakeCatalogue) Model(name string) (*kinora.ModelDescription, error) {
	m, least := c.model(), 0.0
	if name != m.Name {
		return nil, kinora.Errorf(kinora.ErrNotFound, "there is no model of that name")
	}
	m.Fields = []kinora.Field{
		{Name: "input.prompt", Type: kinora.FieldLongText, Label: "Prompt", Required: true, MaxLength: 2500},
		{Name: "input.metadata.cfg_scale", Type: kinora.FieldNumber, Label: "Cfg scale", Minimum: &least},
		{Name: "input.metadata.sound", Type: kinora.FieldText, Label: "Sound", Values: []string{"on", "off"}, Open: true, Needs: map[string]string{"input.metadata.mode": "pro"}},
	}
	return &m, nil
}

func (fakeCatalogue) workflow() kinora.WorkflowDescription {
	return kinora.WorkflowDescription{Name: "staging", Description: "d", Kind: kinora.KindImage,
		Fields: []kinora.Field{{Name: "room_types", Type: kinora.FieldChoices, Label: "Rooms", Values: []string{"Bedroom"}, Families: [][]string{{"Bedroom"}}, MaxItems: 2}},
		Rows:   []kinora.WorkflowRow{{CaptureType: "photo", Mode: "clean", Rules: map[string]string{"room_types": "forbidden"}}}}
}

func (c fakeCatalogue) Workflows() []kinora.WorkflowDescription {
	return []kinora.WorkflowDescription{c.workflow()}
}

func (c fakeCatalogue) Workflow(name string) (*kinora.WorkflowDescription, error) {
	w := c.workflow()
	if name != w.Name {
		return nil, kinora.Errorf(kinora.ErrNotFound, "there is no workflow of that name")
	}
	return &w, nil
}

func TestCatalogue(t *testing.T) {
	f := newFixture(t, func(c *Config) { c.Catalogue = fakeCatalogue{} })
	const model = `"id":"kling-v1","kind":"video","price_usd":0.35,"deadline_seconds":3600,"callbacks":true`
	is(t, f.do("GET", "/api/v1/models", ""), 200, `{"models":[{`+model+`}]}`)
	is(t, f.do("GET", "/api/v1/models/kling-v1", ""), 200, `{`+model+`,"fields":[`+
		`{"name":"input.prompt","type":"long_text","label":"Prompt","required":true,"max_length":2500},`+
		`{"name":"input.metadata.cfg_scale","type":"number","label":"Cfg scale","required":false,"minimum":0},`+
		`{"name":"input.metadata.sound","type":"text","label":"Sound","required":false,"values":["on","off"],"open":true,"needs":{"input.metadata.mode":"pro"}}]}`)
	const workflow = `{"name":"staging","description":"d","kind":"image","price_usd":null,` +
		`"fields":[{"name":"room_types","type":"choices","label":"Rooms","required":false,"values":["Bedroom"],"families":[["Bedroom"]],"max_items":2}],` +
		`"matrix":[{"capture_type":"photo","mode":"clean","rules":{"room_types":"forbidden"}}]}`
	is(t, f.do("GET", "/api/v1/workflows", ""), 200, `{"workflows":[`+workflow+`]}`)
	is(t, f.do("GET", "/api/v1/workflows/staging", ""), 200, workflow)
	for _, path := range []string{"/api/v1/models/none", "/api/v1/models/a/b", "/api/v1/workflows/none"} {
		if w := f.do("GET", path, ""); w.Code != 404 {
			t.Errorf("%s answered %d %s", path, w.Code, w.Body)
		}
	}
}
