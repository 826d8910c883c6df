package dashboard

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/dashboard/ui"
)

// What is configured, offered and installed.
func (d *Dashboard) configurationRoutes() []route {
	const root = operatorPath + "/configuration"
	return []route{
		{method: http.MethodGet, pattern: root, who: operator, handler: d.configurationPage},
		{method: http.MethodGet, pattern: root + "/offer", who: operator, handler: d.offerPage},
		{method: http.MethodGet, pattern: root + "/installation", who: operator, handler: d.installationPage},
	}
}

// configurationTabs are the three pages; current is the segment of the one that is shown.
func (v *visit) configurationTabs(current string) []ui.Link {
	tab := func(label, segment string) ui.Link {
		segments := []string{"operator", "configuration"}
		if segment != "" {
			segments = append(segments, segment)
		}
		return ui.Link{Label: label, Href: v.link(segments...), Current: segment == current}
	}
	return []ui.Link{tab("Settings", ""), tab("Models and workflows", "offer"), tab("Installation", "installation")}
}

// configurationView is the page with the settings.
type configurationView struct {
	Tabs     []ui.Link
	Action   string // where filters lead
	Find     string
	Origin   kinora.SettingOrigin
	Settings []kinora.Setting
}

func (d *Dashboard) configurationPage(ctx context.Context, v *visit) error {
	view := configurationView{Tabs: v.configurationTabs(""), Action: v.link("operator", "configuration"), Find: strings.TrimSpace(v.query("find")),
		Origin: kinora.SettingOrigin(v.query("origin"))}
	if !slices.Contains([]kinora.SettingOrigin{kinora.OriginDefault, kinora.OriginFile, kinora.OriginEnvironment}, view.Origin) {
		view.Origin = ""
	}
	find := strings.ToLower(view.Find)
	for _, s := range v.cfg.Operating.Settings() {
		if (view.Origin == "" || s.Origin == view.Origin) && strings.Contains(strings.ToLower(s.Key+"\n"+s.Value+"\n"+s.Variable), find) {
			view.Settings = append(view.Settings, s)
		}
	}
	return v.show(ctx, "Configuration", configurationBody(view))
}

// offerView is the page with models and workflows.
type offerView struct {
	Tabs      []ui.Link
	Models    []kinora.OfferedModel
	Workflows []kinora.OfferedWorkflow
}

func (d *Dashboard) offerPage(ctx context.Context, v *visit) error {
	return v.show(ctx, "Models and workflows", offerBody(offerView{Tabs: v.configurationTabs("offer"), Models: v.cfg.Installation.Models(),
		Workflows: v.cfg.Installation.Workflows()}))
}

// installationView is the page with what is installed.
type installationView struct {
	Tabs       []ui.Link
	Version    string
	Database   string
	Migrations []kinora.Migration
	Waiting    int // of them
	Keys       kinora.MasterKeys
	Older      bool // there are keys beside the current one
}

func (d *Dashboard) installationPage(ctx context.Context, v *visit) error {
	view := installationView{Tabs: v.configurationTabs("installation"), Version: v.cfg.Installation.Version()}
	var err error
	if view.Migrations, err = v.cfg.Installation.Migrations(ctx); err != nil {
		return err
	}
	for _, m := range view.Migrations {
		if !m.Applied {
			view.Waiting++
		}
	}
	stored, err := v.cfg.Operating.Storage(ctx)
	if err != nil {
		return err
	}
	view.Database = stored.Database + ", " + bytesOf(stored.DatabaseBytes)
	if view.Keys, err = v.cfg.Installation.MasterKeys(ctx); err != nil {
		return err
	}
	view.Older = len(view.Keys.Keys) > 1
	return v.show(ctx, "Installation", installationBody(view))
}
