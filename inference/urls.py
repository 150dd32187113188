from django.urls import path

from inference.api import PoolHourList

urlpatterns = [path("pool-hours/", PoolHourList.as_view(), name="pool-hours")]
