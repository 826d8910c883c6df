package server

func (s *Server) fileRoutes() []route { return nil }
