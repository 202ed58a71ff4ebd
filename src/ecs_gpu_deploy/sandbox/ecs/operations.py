"""Which function answers which ECS operation."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ecs_gpu_deploy.ecs_model.refusals import SchedulerError
from ecs_gpu_deploy.sandbox.ecs import (
    clusters,
    definitions,
    deployments,
    instances,
    services,
    settings,
    tasks,
)
from ecs_gpu_deploy.sandbox.ecs.region import EcsRegion, Request, Response
from ecs_gpu_deploy.sandbox.protocol.api_errors import ApiError

Operation = Callable[[EcsRegion, Request], Response]

OPERATIONS: Mapping[str, Operation] = {
    "CreateCluster": clusters.create_cluster,
    "DescribeClusters": clusters.describe_clusters,
    "ListClusters": clusters.list_clusters,
    "UpdateCluster": clusters.update_cluster,
    "UpdateClusterSettings": clusters.update_cluster,
    "DeleteCluster": clusters.delete_cluster,
    "PutClusterCapacityProviders": clusters.put_cluster_capacity_providers,
    "CreateCapacityProvider": clusters.create_capacity_provider,
    "DescribeCapacityProviders": clusters.describe_capacity_providers,
    "UpdateCapacityProvider": clusters.update_capacity_provider,
    "DeleteCapacityProvider": clusters.delete_capacity_provider,
    "RegisterTaskDefinition": definitions.register_task_definition,
    "DescribeTaskDefinition": definitions.describe_task_definition,
    "DeregisterTaskDefinition": definitions.deregister_task_definition,
    "DeleteTaskDefinitions": definitions.delete_task_definitions,
    "ListTaskDefinitions": definitions.list_task_definitions,
    "ListTaskDefinitionFamilies": definitions.list_task_definition_families,
    "CreateService": services.create_service,
    "UpdateService": services.update_service,
    "DeleteService": services.delete_service,
    "DescribeServices": services.describe_services,
    "ListServices": services.list_services,
    "ListServicesByNamespace": services.list_services_by_namespace,
    "ListServiceDeployments": deployments.list_service_deployments,
    "DescribeServiceDeployments": deployments.describe_service_deployments,
    "DescribeServiceRevisions": deployments.describe_service_revisions,
    "StopServiceDeployment": deployments.stop_service_deployment,
    "ContinueServiceDeployment": deployments.continue_service_deployment,
    "RunTask": tasks.run_task,
    "StartTask": tasks.start_task,
    "StopTask": tasks.stop_task,
    "ListTasks": tasks.list_tasks,
    "DescribeTasks": tasks.describe_tasks,
    "GetTaskProtection": tasks.get_task_protection,
    "UpdateTaskProtection": tasks.update_task_protection,
    "ListContainerInstances": instances.list_container_instances,
    "DescribeContainerInstances": instances.describe_container_instances,
    "UpdateContainerInstancesState": instances.update_container_instances_state,
    "RegisterContainerInstance": instances.register_container_instance,
    "DeregisterContainerInstance": instances.deregister_container_instance,
    "PutAttributes": instances.put_attributes,
    "DeleteAttributes": instances.delete_attributes,
    "ListAttributes": instances.list_attributes,
    "TagResource": settings.tag_resource,
    "UntagResource": settings.untag_resource,
    "ListTagsForResource": settings.list_tags_for_resource,
    "ListAccountSettings": settings.list_account_settings,
    "PutAccountSetting": settings.put_account_setting,
    "PutAccountSettingDefault": settings.put_account_setting,
    "DeleteAccountSetting": settings.delete_account_setting,
}


def ecs_response(region: EcsRegion, operation: str, request: Request) -> str:
    """Answer one ECS operation with JSON text; raise `ApiError` as AWS answers.

    An unknown operation is AWS's UnknownOperationException; one that AWS knows and we do not model says so.
    """
    protocol = region.protocol
    if operation not in protocol.operation_names:
        raise ApiError("UnknownOperationException", "")
    protocol.check_request(operation, request)
    function = OPERATIONS.get(operation)
    if function is None:
        raise ApiError("UnsupportedFeatureException", f"The local AWS does not model {operation}.")
    try:
        response = function(region, request)
    except SchedulerError as refusal:
        raise ApiError(refusal.code, refusal.message) from refusal
    return protocol.written_response(operation, response)
