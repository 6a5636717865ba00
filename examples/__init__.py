"""Four small applications that show what Nitro is for: a todo list, a chat, a dashboard, a kanban board."""
