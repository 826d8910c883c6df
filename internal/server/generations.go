package server

func (s *Server) generationRoutes() []route { return nil }
