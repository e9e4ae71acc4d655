package trace

// The tables, with their columns in the order of the published schema. Columns
// that no simulation needs are held to being numbers at all.
var (
	machineMeta = table{"machine_meta", []column{
		{"machine_id", name}, {"time_stamp", number}, {"failure_domain_1", text}, {"failure_domain_2", text},
		{"cpu_num", measure}, {"mem_size", percent}, {"status", text},
	}}
	machineUsage = table{"machine_usage", []column{
		{"machine_id", name}, {"time_stamp", number}, {"cpu_util_percent", percent}, {"mem_util_percent", percent},
		{"mem_gps", measure}, {"mkpi", measure}, {"net_in", measure}, {"net_out", measure}, {"disk_io_percent", measure},
	}}
	containerMeta = table{"container_meta", []column{
		{"container_id", name}, {"machine_id", name}, {"time_stamp", number}, {"app_du", text}, {"status", text},
		{"cpu_request", measure}, {"cpu_limit", measure}, {"mem_size", percent},
	}}
	containerUsage = table{"container_usage", []column{
		{"container_id", name}, {"machine_id", name}, {"time_stamp", number}, {"cpu_util_percent", load}, {"mem_util_percent", load},
		{"cpi", measure}, {"mem_gps", measure}, {"mpki", measure}, {"net_in", measure}, {"net_out", measure}, {"disk_io_percent", measure},
	}}
	batchTask = table{"batch_task", []column{
		{"task_name", name}, {"instance_num", whole}, {"job_name", name}, {"task_type", text}, {"status", text},
		{"start_time", moment}, {"end_time", moment}, {"plan_cpu", measure}, {"plan_mem", measure},
	}}
	batchInstance = table{"batch_instance", []column{
		{"instance_name", text}, {"task_name", name}, {"job_name", name}, {"task_type", text}, {"status", text},
		{"start_time", moment}, {"end_time", moment}, {"machine_id", text}, {"seq_no", moment}, {"total_seq_no", moment},
		{"cpu_avg", measure}, {"cpu_max", measure}, {"mem_avg", measure}, {"mem_max", measure},
	}}
)

// Tables names the files of a trace, without ending.
func Tables() []string {
	return []string{machineMeta.name, machineUsage.name, containerMeta.name, containerUsage.name, batchTask.name, batchInstance.name}
}
