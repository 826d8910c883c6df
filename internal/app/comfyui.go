package app

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/provider/comfyui"
)

// comfyWorkflows reads the operator's ComfyUI workflows: each file NAME.json of a folder is one, of
// that name. No folder, no workflows.
func comfyWorkflows(folder string) (map[string]*comfyui.Workflow, error) {
	if folder == "" {
		return nil, nil
	}
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, badWorkflows(err.Error())
	}
	out := map[string]*comfyui.Workflow{}
	var faults []error
	for _, entry := range entries {
		name, ok := strings.CutSuffix(entry.Name(), ".json")
		if !ok || name == "" || entry.IsDir() {
			continue
		}
		text, err := os.ReadFile(filepath.Join(folder, entry.Name()))
		if err == nil {
			out[name], err = comfyui.ParseWorkflow(text)
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", filepath.Join(folder, entry.Name()), err))
		}
	}
	if err := errors.Join(faults...); err != nil {
		return nil, badWorkflows(err.Error())
	}
	return out, nil
}

func badWorkflows(message string) error {
	return &kinora.Error{Code: kinora.ErrInvalid, Op: "configuration", Message: "comfyui.workflows: " + message, Hint: "see docs/providers/comfyui.md"}
}

// checkComfy refuses models of ComfyUI for which there is no workflow.
func checkComfy(workflows map[string]*comfyui.Workflow, models []kinora.Model) error {
	for _, m := range models {
		for _, along := range m.Along() {
			if along.Provider == comfyui.Name && workflows[along.UpstreamModel] == nil {
				return badWorkflows(fmt.Sprintf("model %s wants %s.json, and there is none", m.Name, along.UpstreamModel))
			}
		}
	}
	return nil
}
